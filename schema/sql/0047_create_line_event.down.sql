DROP TABLE line_event;
