-- Several mails in one session, each with an end of its own: nothing of one reaches the next.
dofile(folder .. "/common.lua")

local ends = {
    pass = function(conn)
        mail(conn)
        inserted(conn, "X-Tag", "yes")
        not_inserted(conn, "X-Null")
    end,
    null = function(conn)
        mail(conn, SMFIR_CONTINUE, "<>")
        inserted(conn, "X-Null", "yes")
    end,
    recipient = function(conn)
        go(conn, "mail", "<a@sender.example>")
        step(conn, "rcpt", SMFIR_REPLYCODE, "<no@example.com>")
        mt.abort(conn)
    end,
    reject = function(conn)
        envelope(conn)
        header(conn, {{"X-Want", "reject"}})
        go(conn, "body", "Hello Bob\r\n")
        finish(conn, SMFIR_REPLYCODE)
        check(not mt.eom_check(conn, MT_HDRINSERT), "edits of a mail that is refused")
    end,
    discard = function(conn)
        envelope(conn)
        header(conn, {{"X-Want", "discard"}})
        finish(conn, SMFIR_DISCARD)
    end,
    abort = function(conn)
        envelope(conn)
        header(conn, {{"X-Want", "reject"}})
        mt.abort(conn)
    end,
}

run(function()
    local conn = open()
    greet(conn)
    local names = {"pass", "null", "recipient", "reject", "discard", "abort"}
    for _, first in ipairs(names) do
        for _, second in ipairs(names) do
            ends[first](conn)
            ends[second](conn)
        end
    end
    mt.disconnect(conn, true)
end)
