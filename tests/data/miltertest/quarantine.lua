-- The MTA is told to keep a mail, by name and place of the rule, and edits it as it would another.
dofile(folder .. "/common.lua")

local function with(conn, keep)
    envelope(conn)
    header(conn, {{"X-Keep", keep}})
    go(conn, "body", "Hello Bob\r\n")
    finish(conn, SMFIR_CONTINUE)
    inserted(conn, "X-Tag", "first")
end

run(function()
    local conn = open()
    check(mt.test_action(conn, SMFIF_QUARANTINE), "the rules keep mails, and it was on offer")
    greet(conn)
    with(conn, "named")
    check(mt.eom_check(conn, MT_QUARANTINE, "forged: postern.conf:8"), "not kept by its name")
    with(conn, "yes")
    check(mt.eom_check(conn, MT_QUARANTINE, "quarantine: postern.conf:9"), "not kept")
    with(conn, "no")
    check(not mt.eom_check(conn, MT_QUARANTINE), "the next one is kept too")
    mt.disconnect(conn, true)
end)
