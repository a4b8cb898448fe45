-- Bodies past what is kept in memory, and past what a mail may have, of random bytes.
dofile(folder .. "/common.lua")

-- Lines of at most 900 bytes: mt.bodyrandom makes each a body chunk of its own.
local function with(conn, lines, reply)
    envelope(conn)
    header(conn)
    for i = 1, lines do
        go(conn, "random", 900)
    end
    finish(conn, reply)
end

run(function()
    local conn = open()
    greet(conn)
    with(conn, 2, SMFIR_CONTINUE)
    not_inserted(conn, "X-Large")
    with(conn, 450, SMFIR_CONTINUE)
    inserted(conn, "X-Large", "yes")
    -- once it is too large no more is wanted, which only an MTA that awaits answers hears
    envelope(conn)
    header(conn)
    local lines = 0
    repeat
        lines = lines + 1
        mt.bodyrandom(conn, 900)
    until lines == 1300 or mt.getreply(conn) ~= SMFIR_CONTINUE
    local skips = answered(conn, "random") and mt.test_option(conn, SMFIP_SKIP)
    check(skips == (mt.getreply(conn) == SMFIR_SKIP), "the answer to a body that is too large")
    check(skips == (lines < 1300), "skipped too early or late")
    finish(conn, SMFIR_REPLYCODE)
    said(conn, "552", "5.3.4", "The mail is larger than is taken here")
    -- in one call: its lines are up to 1021 bytes long
    envelope(conn)
    header(conn)
    mt.bodyrandom(conn, 1536 * 1024)
    check(skips == (mt.getreply(conn) == SMFIR_SKIP), "the answer to a line that is too long")
    finish(conn, SMFIR_REPLYCODE)
    said(conn, "550", "5.6.0", "A line of the mail is too long")
    with(conn, 2, SMFIR_CONTINUE)
    not_inserted(conn, "X-Large")
    envelope(conn)
    header(conn)
    for i = 1, 5 do
        go(conn, "random", 900)
    end
    mt.abort(conn)
    with(conn, 300, SMFIR_CONTINUE)
    inserted(conn, "X-Large", "yes")
    mt.disconnect(conn, true)
end)
