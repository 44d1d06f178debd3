ALTER TABLE file_batch
  ADD KEY file_batch_work (work_due),
  DROP KEY file_batch_status_work,
  DROP KEY file_batch_input;
