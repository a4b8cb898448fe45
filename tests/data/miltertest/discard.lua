-- Discard: said at the end, once, with no edit.
dofile(folder .. "/common.lua")

run(function()
    local conn = open()
    greet(conn)
    for i = 1, 3 do
        envelope(conn)
        header(conn, {{"X-Want", "discard"}, {"X-Tag", "old"}})
        go(conn, "body", "Hello Bob\r\n")
        finish(conn, SMFIR_DISCARD)
        check(not mt.eom_check(conn, MT_HDRINSERT) and not mt.eom_check(conn, MT_HDRDELETE),
            "edits of a mail that is dropped")
        mail(conn)
        inserted(conn, "X-Tag", "new")
    end
    mt.disconnect(conn, true)
end)
