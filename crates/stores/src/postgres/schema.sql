-- The tables of a log in PostgreSQL 15 or newer, version 2. Made in one transaction when the log is new.
--
-- Every change of the log locks the one row of `turn` first, so changes come one after the other whatever the isolation
-- level is; READ COMMITTED is enough, and what is read after the lock is what is there. SERIALIZABLE would add failures to
-- be tried again and no safety.
CREATE SCHEMA countersign;

-- `mark` is `open`, `copying` while a log is copied here, and `moved` where it was moved to `place`.
CREATE TABLE countersign.format (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL,
    mark text NOT NULL DEFAULT 'open',
    place text NOT NULL DEFAULT ''
);
INSERT INTO countersign.format (version) VALUES (2);

CREATE TABLE countersign.entries (idx bigint PRIMARY KEY, identity bytea NOT NULL UNIQUE, bytes bytea NOT NULL);
CREATE TABLE countersign.tiles (level smallint, idx bigint, bytes bytea NOT NULL, PRIMARY KEY (level, idx));
-- Hashes and signatures do not get smaller.
ALTER TABLE countersign.entries ALTER COLUMN bytes SET STORAGE EXTERNAL;
ALTER TABLE countersign.tiles ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE countersign.checkpoints (size bigint PRIMARY KEY, note bytea NOT NULL);
CREATE TABLE countersign.cosignatures (size bigint, name text, line text NOT NULL, PRIMARY KEY (size, name));
-- A key a subject; none where it was destroyed, and `rewritten` where the table's file does not hold it any more either.
CREATE TABLE countersign.subject_keys (subject bytea PRIMARY KEY, key bytea, rewritten boolean NOT NULL DEFAULT false);

-- Whose turn it is to add entries, by this server's clock; `epoch` only grows.
CREATE TABLE countersign.turn (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL,
    holder text NOT NULL,
    ends timestamptz NOT NULL,
    size bigint NOT NULL
);
INSERT INTO countersign.turn (epoch, holder, ends, size) VALUES (0, '', '-infinity', 0);

-- What other processes let in. Not kept over a crash: nobody has a receipt for it yet.
CREATE UNLOGGED TABLE countersign.offers (
    identity bytea PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    bytes bytea NOT NULL,
    seal bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX offers_in_order ON countersign.offers (seq);

-- Adds a batch if the turn is still this caller's. Answers `added`, or why nothing was changed.
CREATE FUNCTION countersign.add_batch(
    my_holder text, my_epoch bigint, life interval, first bigint, identities bytea[], entries bytea[],
    tile_levels smallint[], tile_places bigint[], tile_bytes bytea[], checkpoint bytea,
    earlier_sizes bigint[], earlier_notes bytea[], cosigned_sizes bigint[], cosigned_by text[], cosigned_lines text[],
    OUT outcome text, OUT at_size bigint
) LANGUAGE plpgsql AS $$
DECLARE
    now_held countersign.turn%ROWTYPE;
    new_size bigint := first + cardinality(identities);
BEGIN
    SELECT * INTO STRICT now_held FROM countersign.turn FOR UPDATE;
    IF now_held.epoch <> my_epoch OR now_held.holder <> my_holder THEN
        outcome := 'fenced'; at_size := now_held.epoch; RETURN;
    END IF;
    IF now_held.size <> first THEN
        outcome := 'out of step'; at_size := now_held.size; RETURN;
    END IF;
    INSERT INTO countersign.entries (idx, identity, bytes)
        SELECT first + e.place - 1, e.identity, e.bytes
        FROM unnest(identities, entries) WITH ORDINALITY AS e (identity, bytes, place);
    INSERT INTO countersign.tiles AS t (level, idx, bytes)
        SELECT * FROM unnest(tile_levels, tile_places, tile_bytes)
        ON CONFLICT (level, idx) DO UPDATE SET bytes = excluded.bytes;
    INSERT INTO countersign.checkpoints (size, note) SELECT * FROM unnest(earlier_sizes, earlier_notes);
    INSERT INTO countersign.checkpoints (size, note) VALUES (new_size, checkpoint);
    INSERT INTO countersign.cosignatures (size, name, line)
        SELECT * FROM unnest(cosigned_sizes, cosigned_by, cosigned_lines);
    DELETE FROM countersign.offers WHERE identity = ANY (identities);
    UPDATE countersign.turn SET size = new_size, ends = clock_timestamp() + life;
    PERFORM pg_notify('countersign', 'head');
    outcome := 'added'; at_size := new_size;
END $$;

-- Takes, prolongs or reads the turn.
CREATE FUNCTION countersign.take_turn(my_holder text, my_epoch bigint, life interval, OUT epoch bigint, OUT holder text)
LANGUAGE plpgsql AS $$
DECLARE
    now_held countersign.turn%ROWTYPE;
    moved_to text;
BEGIN
    -- Also for a process that had it open before.
    SELECT f.place INTO moved_to FROM countersign.format AS f WHERE f.mark = 'moved';
    IF FOUND THEN
        RAISE EXCEPTION 'the log was moved to `%`', moved_to;
    END IF;
    SELECT * INTO STRICT now_held FROM countersign.turn;
    IF now_held.holder <> my_holder AND now_held.ends > clock_timestamp() THEN
        epoch := now_held.epoch; holder := now_held.holder; RETURN;
    END IF;
    -- Waits for a commit that is under way; what it did is seen afterwards.
    SELECT * INTO STRICT now_held FROM countersign.turn FOR UPDATE;
    IF now_held.holder <> my_holder AND now_held.ends > clock_timestamp() THEN
        epoch := now_held.epoch; holder := now_held.holder; RETURN;
    END IF;
    IF now_held.holder = my_holder AND now_held.epoch = my_epoch THEN
        -- To prolong needs no sync: what a crash forgets makes the turn shorter.
        PERFORM set_config('synchronous_commit', 'off', true);
        epoch := my_epoch;
    ELSE
        epoch := now_held.epoch + 1;
    END IF;
    UPDATE countersign.turn AS t SET epoch = take_turn.epoch, holder = my_holder, ends = clock_timestamp() + life;
    holder := my_holder;
END $$;
