-- Macros: by stage, early, late, none and too many. The account is one mail's, TLS the session's.
dofile(folder .. "/common.lua")

local function macro(conn, step, ...)
    check(mt.macro(conn, step, ...) == nil, "the connection is gone")
end

local function body_of(conn)
    header(conn)
    go(conn, "body", "Hello Bob\r\n")
    finish(conn, SMFIR_CONTINUE)
end

run(function()
    local conn = open()
    macro(conn, SMFIC_CONNECT, "j", "mx.example.com", "{daemon_name}", "smtpd", "{if_name}", "eth0")
    go(conn, "connect", "mail.sender.example", OUTSIDE)
    macro(conn, SMFIC_HELO, "{tls_version}", "TLSv1.3", "{cipher}", "TLS_AES_256_GCM_SHA384")
    go(conn, "helo", "mail.sender.example")
    -- from outside, by TLS, no account
    macro(conn, SMFIC_MAIL, "i", "MAIL1")
    go(conn, "mail", "<a@sender.example>")
    macro(conn, SMFIC_RCPT, "{rcpt_mailer}", "local", "{rcpt_addr}", "b@example.com")
    go(conn, "rcpt", "<b@example.com>")
    go(conn, "data")
    body_of(conn)
    inserted(conn, "X-Tls", "yes")
    not_inserted(conn, "X-User")
    -- logged in: the other rules judge
    macro(conn, SMFIC_MAIL, "i", "MAIL2", "{auth_authen}", "ann", "{auth_type}", "PLAIN")
    envelope(conn, "<ann@example.com>", "<b@elsewhere.example>")
    body_of(conn)
    inserted(conn, "X-User", "ann")
    not_inserted(conn, "X-Tls")
    -- the next mail is nobody's again
    macro(conn, SMFIC_MAIL, "i", "MAIL3")
    envelope(conn)
    body_of(conn)
    inserted(conn, "X-Tls", "yes")
    not_inserted(conn, "X-User")
    -- the queue's name as Postfix has it: at the end only
    macro(conn, SMFIC_MAIL, "{mail_addr}", "a@sender.example")
    envelope(conn)
    header(conn)
    macro(conn, string.byte("E"), "i", "MAIL4")
    finish(conn, SMFIR_CONTINUE)
    -- macros of an aborted mail are forgotten
    macro(conn, SMFIC_MAIL, "i", "MAIL5", "{auth_authen}", "ann")
    mt.abort(conn)
    macro(conn, SMFIC_MAIL, "i", "MAIL6")
    envelope(conn)
    body_of(conn)
    not_inserted(conn, "X-User")
    -- as many as one call of mt.macro takes, and of all steps
    local many = {}
    for i = 1, 30 do
        many[#many + 1] = "{m" .. i .. "}"
        many[#many + 1] = "value " .. i
    end
    for _, letter in ipairs({"M", "R", "T", "N", "E"}) do
        macro(conn, string.byte(letter), table.unpack(many))
    end
    macro(conn, SMFIC_MAIL, "i", "MAIL7")
    envelope(conn)
    body_of(conn)
    mt.disconnect(conn, true)
end)
