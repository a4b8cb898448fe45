-- Header fields: never answered but with go on; what they say is judged at the end.
dofile(folder .. "/common.lua")

local function with(conn, fields, reply)
    envelope(conn)
    header(conn, fields)
    go(conn, "body", "Hello Bob\r\n")
    finish(conn, reply)
end

run(function()
    local conn = open()
    greet(conn)
    with(conn, {{"X-Bad", "no"}}, SMFIR_CONTINUE)
    with(conn, {{"X-Bad", "yes"}}, SMFIR_REPLYCODE)
    said(conn, "550", "5.7.1", "bad by its header")
    with(conn, {{"X-Bad", "no"}, {"x-bad", "yes"}}, SMFIR_REPLYCODE)
    with(conn, {{"X-Bad", "\n yes"}}, SMFIR_REPLYCODE)
    with(conn, {{"X-Bad", "\r\n\tyes"}}, SMFIR_REPLYCODE)
    with(conn, {{"X-Empty", ""}, {"X-Long", string.rep("word ", 180)}}, SMFIR_CONTINUE)
    with(conn, {{"X-Bytes", "caf\xc3\xa9 \xff"}}, SMFIR_CONTINUE)
    with(conn, {{"Subject2", "x"}, {"X-Fold", "a\n b\n\tc"}}, SMFIR_CONTINUE)
    local many = {}
    for i = 1, 100 do
        many[i] = {"X-Many", "number " .. i}
    end
    many[101] = {"X-Bad", "yes"}
    with(conn, many, SMFIR_REPLYCODE)
    -- two authors' fields: a rule that is built in
    with(conn, {{"From", "Eve <e@evil.example>"}}, SMFIR_REPLYCODE)
    -- none at all
    envelope(conn)
    field(conn, "Subject", "no author")
    go(conn, "eoh")
    finish(conn, SMFIR_REPLYCODE)
    with(conn, {}, SMFIR_CONTINUE)
    mt.disconnect(conn, true)
end)
