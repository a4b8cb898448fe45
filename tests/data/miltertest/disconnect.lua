-- The MTA ends the session after each step, or is gone without a word; the next finds all in order.
dofile(folder .. "/common.lua")

local steps = {
    function() end,
    function(conn) go(conn, "connect", "mail.sender.example", OUTSIDE) end,
    function(conn) go(conn, "helo", "mail.sender.example") end,
    function(conn) go(conn, "mail", "<a@sender.example>") end,
    function(conn) go(conn, "rcpt", "<b@example.com>") end,
    function(conn) step(conn, "rcpt", SMFIR_REPLYCODE, "<no@example.com>") end,
    function(conn) go(conn, "data") end,
    function(conn) field(conn, "From", "Ann <a@sender.example>") end,
    function(conn) field(conn, "Date", "Sun, 29 Nov 2026 00:00:00 +0000") end,
    function(conn) field(conn, "X-Want", "nothing") end,
    function(conn) go(conn, "eoh") end,
    function(conn) go(conn, "body", "Hello Bob\r\n") end,
    function(conn) finish(conn, SMFIR_CONTINUE) end,
}

run(function()
    -- before anything was negotiated
    for _, polite in ipairs({true, false}) do
        local conn = mt.connect(socket)
        check(conn ~= nil, "no connection")
        if not polite then
            mt.disconnect(conn, false)
        else
            check(mt.negotiate(conn, 6, 0x800, 0x1ff) == nil, "no negotiation")
            mt.disconnect(conn, true)
        end
        for last = 1, #steps do
            conn = open()
            for i = 1, last do
                steps[i](conn)
            end
            mt.disconnect(conn, polite)
        end
    end
    local conn = open()
    greet(conn)
    mail(conn)
    inserted(conn, "X-Tag", "yes")
    mt.disconnect(conn, true)
end)
