-- The body: in pieces, skipped where no rule of that side looks at it, and what no mail may hold.
dofile(folder .. "/common.lua")

local function with(conn, pieces, reply)
    envelope(conn)
    header(conn)
    for _, piece in ipairs(pieces) do
        go(conn, "body", piece)
    end
    finish(conn, reply)
end

run(function()
    local conn = open()
    greet(conn)
    with(conn, {"Hello Bob\r\n"}, SMFIR_CONTINUE)
    not_inserted(conn, "X-Large")
    with(conn, {"Hello", " ", "Bob\r", "\n", ".\r\n", "..\r\n", "\r\n"}, SMFIR_CONTINUE)
    with(conn, {"no line end"}, SMFIR_CONTINUE)
    with(conn, {string.rep("0123456789abcdef\r\n", 3000)}, SMFIR_CONTINUE)
    inserted(conn, "X-Large", "yes")
    local pieces = {}
    for i = 1, 50 do
        pieces[i] = string.rep("0123456789abcdef\r\n", 60)
    end
    with(conn, pieces, SMFIR_CONTINUE)
    inserted(conn, "X-Large", "yes")
    with(conn, {"one\rtwo\r\n"}, SMFIR_REPLYCODE)
    said(conn, "550", "5.6.0", "Bare CR, bare LF or NUL in the mail")
    with(conn, {"one\ntwo\r\n"}, SMFIR_REPLYCODE)
    with(conn, {"the last byte is a CR\r"}, SMFIR_REPLYCODE)
    with(conn, {"Hello Bob\r\n"}, SMFIR_CONTINUE)
    not_inserted(conn, "X-Large")
    mt.disconnect(conn, true)
    -- no rule for what leaves asks for the body
    conn = open()
    greet(conn, INSIDE)
    envelope(conn)
    header(conn)
    local skip = mt.test_option(conn, SMFIP_SKIP) and SMFIR_SKIP or SMFIR_CONTINUE
    step(conn, "body", skip, "Hello Bob\r\n")
    finish(conn, SMFIR_CONTINUE)
    envelope(conn)
    header(conn)
    finish(conn, SMFIR_CONTINUE)
    mt.disconnect(conn, true)
end)
