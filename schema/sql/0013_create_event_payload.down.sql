DROP TABLE event_payload;
