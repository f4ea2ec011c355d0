-- What every stream with a table has of its own: the triggers, their function, and what refuses records afterwards.
DO $$
DECLARE
  stream record;
  trigger record;
BEGIN
  FOR trigger IN SELECT t.* FROM tidemark.stream s CROSS JOIN LATERAL tidemark.capture_triggers(s.stream_id) AS t LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', trigger.name, trigger.source);
  END LOOP;
  FOR stream IN SELECT s.stream_id FROM tidemark.stream s LOOP
    EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I(), tidemark.%I()', 'capture_' || stream.stream_id,
      'truncate_' || stream.stream_id);
    EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I', 'copy_' || stream.stream_id);
    EXECUTE format('DROP TRIGGER IF EXISTS disabled ON tidemark.%I', 'inbox_' || stream.stream_id);
  END LOOP;
END $$;

DROP FUNCTION tidemark.disable_stream(integer);
DROP FUNCTION tidemark.end_stream(integer);
DROP FUNCTION tidemark.clean_up_table(integer);
DROP FUNCTION tidemark.switch_triggers_off(integer);
DROP FUNCTION tidemark.refuse_record();
DROP FUNCTION tidemark.enable_stream(regclass, text, text, interval, integer);
DROP FUNCTION tidemark.begin_stream(regclass, text, text, interval, integer, text);
DROP FUNCTION tidemark.create_truncate_function(integer);
DROP FUNCTION tidemark.truncated_image(integer);
DROP FUNCTION tidemark.create_capture_function(integer);
DROP FUNCTION tidemark.take_image(integer, text, text);
DROP FUNCTION tidemark.image_expression(integer, oid, text, text);
DROP FUNCTION tidemark.is_small(text, integer);
DROP FUNCTION tidemark.image_within(record, integer);
DROP FUNCTION tidemark.least_image_size(oid, text);
DROP FUNCTION tidemark.wake_up(integer);
DROP FUNCTION tidemark.capture_triggers(integer);
DROP FUNCTION tidemark.capture_functions(integer);
DROP FUNCTION tidemark.pin_capture_settings(integer);
DROP FUNCTION tidemark.capture_settings(oid);
DROP FUNCTION tidemark.type_parts(oid[]);
DROP FUNCTION tidemark.column_types(oid);
DROP FUNCTION tidemark.create_triggers(integer);
DROP FUNCTION tidemark.renew_functions();
DROP FUNCTION tidemark.generator_version();
DROP FUNCTION tidemark.create_functions(integer);
DROP FUNCTION tidemark.strange_type(oid);
DROP FUNCTION tidemark.grant_capture(integer);
DROP FUNCTION tidemark.give_away(text, oid);
DROP FUNCTION tidemark.key_expression(text[], text[], text);
DROP FUNCTION tidemark.key_text(smallint), tidemark.key_text(integer), tidemark.key_text(bigint),
  tidemark.key_text(numeric), tidemark.key_text(real), tidemark.key_text(double precision), tidemark.key_text(text),
  tidemark.key_text(character), tidemark.key_text(anyelement);
DROP FUNCTION tidemark.primary_key(oid);
DROP FUNCTION tidemark.equal_is_alike(oid, oid, oid);
DROP FUNCTION tidemark.default_class(oid);
