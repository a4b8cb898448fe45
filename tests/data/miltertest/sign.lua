-- What leaves is signed; the signature then comes in again, and must verify, also where it stands
-- below other fields, and must not where a word of the mail was changed.
dofile(folder .. "/common.lua")

local function body(conn, pieces)
    for _, piece in ipairs(pieces) do
        go(conn, "body", piece)
    end
end

local function signed(conn, subject, pieces)
    envelope(conn, "<a@ours.example>", "<b@elsewhere.example>")
    field(conn, "From", "Ann <a@ours.example>")
    field(conn, "Subject", subject)
    field(conn, "Date", "Sun, 29 Nov 2026 00:00:00 +0000")
    field(conn, "Message-ID", "<1@ours.example>")
    go(conn, "eoh")
    body(conn, pieces)
    finish(conn, SMFIR_CONTINUE)
    check(mt.eom_check(conn, MT_HDRINSERT, "DKIM-Signature"), "no signature")
    check(mt.getheader(conn, "DKIM-Signature", 1) == nil, "two signatures")
    local value = mt.getheader(conn, "DKIM-Signature", 0)
    check(not value:find("\r"), "a CR in the signature")
    check(value:find("d=ours.example", 1, true) and value:find("s=s1", 1, true), "not as ours")
    nothing_else(conn)
    return value
end

local function comes_in(conn, value, subject, pieces, result)
    envelope(conn, "<a@ours.example>", "<b@example.com>")
    go(conn, "header", "DKIM-Signature", value)
    field(conn, "From", "Ann <a@ours.example>")
    field(conn, "Subject", subject)
    field(conn, "Date", "Sun, 29 Nov 2026 00:00:00 +0000")
    field(conn, "Message-ID", "<1@ours.example>")
    go(conn, "eoh")
    body(conn, pieces)
    finish(conn, SMFIR_CONTINUE)
    inserted(conn, "X-Dkim", result)
end

run(function()
    local out, into = open(), open()
    greet(out, INSIDE)
    greet(into)
    local mails = {
        {"plain", {"Hello Bob\r\n"}},
        {"folded\n subject", {"Hello", " Bob\r", "\nand  more \r\n\r\n"}},
        {"no body", {}},
        {"long", {string.rep("0123456789abcdef\r\n", 3600)}},
    }
    for _, m in ipairs(mails) do
        local value = signed(out, m[1], m[2])
        comes_in(into, value, m[1], m[2], "pass")
        comes_in(into, value, m[1] .. " changed", m[2], "fail")
    end
    mt.disconnect(out, true)
    mt.disconnect(into, true)
end)
