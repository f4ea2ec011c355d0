DROP FUNCTION tidemark.maintain_stream(integer);
