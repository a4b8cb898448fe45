-- Edits of the envelope: redirect takes every recipient as it came, copy adds one.
dofile(folder .. "/common.lua")

local function added(conn, path)
    check(mt.eom_check(conn, MT_RCPTADD, path), path .. " was not added")
end

local function dropped(conn, path)
    check(mt.eom_check(conn, MT_RCPTDELETE, path), path .. " was not dropped")
end

run(function()
    local conn = open()
    greet(conn)
    mail(conn, SMFIR_CONTINUE, "<a@sender.example>", "<b@example.com>", "<C@Example.COM>",
        "<\"d\"@example.com>")
    check(not mt.eom_check(conn, MT_RCPTADD, "<copy@example.com>"), "a copy of a mail from outside")
    dropped(conn, "<b@example.com>")
    dropped(conn, "<C@Example.COM>")
    dropped(conn, "<\"d\"@example.com>")
    added(conn, "<new@example.com>")
    nothing_else(conn)
    mt.disconnect(conn, true)
    conn = open()
    greet(conn, INSIDE)
    mail(conn, SMFIR_CONTINUE, "<a@example.com>", "<b@elsewhere.example>")
    added(conn, "<copy@example.com>")
    check(not mt.eom_check(conn, MT_RCPTADD, "<new@example.com>"), "it was redirected")
    check(not mt.eom_check(conn, MT_RCPTDELETE, "<b@elsewhere.example>"), "its recipient is gone")
    nothing_else(conn)
    mail(conn, SMFIR_CONTINUE, "<secret@example.com>", "<b@elsewhere.example>")
    check(not mt.eom_check(conn, MT_RCPTADD, "<copy@example.com>"), "a copy that no rule wants")
    mt.disconnect(conn, true)
end)
