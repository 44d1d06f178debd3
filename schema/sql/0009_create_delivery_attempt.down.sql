DROP TABLE delivery_attempt;
