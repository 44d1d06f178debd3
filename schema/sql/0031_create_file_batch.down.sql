DROP TABLE file_batch;
