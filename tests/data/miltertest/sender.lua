-- MAIL: forms of the sender, parameters, and refusals, which come at RCPT where MAIL has no answer.
dofile(folder .. "/common.lua")

local function taken(conn, ...)
    go(conn, "mail", ...)
    go(conn, "rcpt", "<b@example.com>")
    go(conn, "data")
    header(conn)
    go(conn, "body", "Hello Bob\r\n")
    finish(conn, SMFIR_CONTINUE)
end

-- Where no answer is wanted, but the MTA awaits one, libmilter says go on by itself.
local function refused(conn, sender)
    local here = answered(conn, "mail") and front ~= "libmilter"
    step(conn, "mail", here and SMFIR_REPLYCODE or SMFIR_CONTINUE, sender)
    if not here then
        step(conn, "rcpt", SMFIR_REPLYCODE, "<b@example.com>")
    else
        check(not mt.eom_check(conn, MT_HDRINSERT), "edits at MAIL")
    end
end

run(function()
    local conn = open()
    greet(conn)
    taken(conn, "<a@sender.example>")
    not_inserted(conn, "X-Null")
    taken(conn, "<>")
    inserted(conn, "X-Null", "yes")
    taken(conn, "<a@sender.example>", "SIZE=200", "BODY=8BITMIME")
    taken(conn, "<a@sender.example>", "X-UNKNOWN=1", "NOVALUE", "=")
    taken(conn, "root")
    taken(conn, "<\"two words\"@sender.example>")
    for _, sender in ipairs({"<a@>", "<a b@sender.example>", "<a@sender.example", "<@>",
                             "<" .. string.rep("a", 70) .. "@sender.example>"}) do
        refused(conn, sender)
        check(mt.abort(conn) == nil, "the connection is gone")
        taken(conn, "<a@sender.example>")
    end
    -- refused and never mentioned again: MAIL once more
    refused(conn, "<a@>")
    taken(conn, "<>")
    inserted(conn, "X-Null", "yes")
    mt.disconnect(conn, true)
end)
