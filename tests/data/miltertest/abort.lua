-- Abort after each step, twice, and a whole mail behind it.
dofile(folder .. "/common.lua")

local steps = {
    function(conn) go(conn, "connect", "mail.sender.example", OUTSIDE) end,
    function(conn) go(conn, "helo", "mail.sender.example") end,
    function(conn) go(conn, "mail", "<a@sender.example>") end,
    function(conn) go(conn, "rcpt", "<b@example.com>") end,
    function(conn) step(conn, "rcpt", SMFIR_REPLYCODE, "<no@example.com>") end,
    function(conn) go(conn, "rcpt", "<c@example.com>") end,
    function(conn) go(conn, "data") end,
    function(conn) field(conn, "From", "Ann <a@sender.example>") end,
    function(conn) field(conn, "Date", "Sun, 29 Nov 2026 00:00:00 +0000") end,
    function(conn) field(conn, "X-Want", "reject") end,
    function(conn) go(conn, "eoh") end,
    function(conn) go(conn, "body", "Hello Bob\r\n") end,
    function(conn) go(conn, "body", "and more\r\n") end,
    function(conn) finish(conn, SMFIR_REPLYCODE) end,
}

local function aborted(conn)
    check(mt.abort(conn) == nil, "the connection is gone")
end

run(function()
    for last = 1, #steps do
        local conn = open()
        for i = 1, last do
            steps[i](conn)
        end
        aborted(conn)
        aborted(conn)
        mail(conn)
        inserted(conn, "X-Tag", "yes")
        -- the session goes on: the same again without its beginning
        for i = 3, last do
            steps[i](conn)
        end
        aborted(conn)
        mail(conn)
        inserted(conn, "X-Tag", "yes")
        mt.disconnect(conn, true)
    end
end)
