-- Each reads the table once: the total is the sum of the counts. They are in order, as those of Message DB are.

CREATE VIEW @schema@.stream_summary AS
    SELECT
        m.stream_name,
        count(*) AS message_count,
        round(count(*) * 100.0 / sum(count(*)) OVER (), 2) AS percent
    FROM @schema@.messages AS m
    GROUP BY 1
    ORDER BY 1;

CREATE VIEW @schema@.type_summary AS
    SELECT
        m.type,
        count(*) AS message_count,
        round(count(*) * 100.0 / sum(count(*)) OVER (), 2) AS percent
    FROM @schema@.messages AS m
    GROUP BY 1
    ORDER BY 1;

CREATE VIEW @schema@.stream_type_summary AS
    SELECT
        m.stream_name, m.type,
        count(*) AS message_count,
        round(count(*) * 100.0 / sum(count(*)) OVER (), 2) AS percent
    FROM @schema@.messages AS m
    GROUP BY 1, 2
    ORDER BY 1, 2;

CREATE VIEW @schema@.type_stream_summary AS
    SELECT
        m.type, m.stream_name,
        count(*) AS message_count,
        round(count(*) * 100.0 / sum(count(*)) OVER (), 2) AS percent
    FROM @schema@.messages AS m
    GROUP BY 1, 2
    ORDER BY 1, 2;

CREATE VIEW @schema@.category_type_summary AS
    SELECT
        @schema@.category(m.stream_name) AS category, m.type,
        count(*) AS message_count,
        round(count(*) * 100.0 / sum(count(*)) OVER (), 2) AS percent
    FROM @schema@.messages AS m
    GROUP BY 1, 2
    ORDER BY 1, 2;

CREATE VIEW @schema@.type_category_summary AS
    SELECT
        m.type, @schema@.category(m.stream_name) AS category,
        count(*) AS message_count,
        round(count(*) * 100.0 / sum(count(*)) OVER (), 2) AS percent
    FROM @schema@.messages AS m
    GROUP BY 1, 2
    ORDER BY 1, 2;
