-- Which batches still read a file, for the sweep that would take it away; and one status of those that want work, without
-- reading the others'.
ALTER TABLE file_batch
  ADD KEY file_batch_input (input_file_id),
  ADD KEY file_batch_status_work (status, work_due),
  DROP KEY file_batch_work;
