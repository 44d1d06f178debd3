-- In which format the weights were that computed it: F16, Q8_0 … (`precision` is a reserved word). NULL: there were none.
ALTER TABLE job_result
  ADD COLUMN weight_type VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL;
