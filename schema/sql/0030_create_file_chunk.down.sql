DROP TABLE file_chunk;
