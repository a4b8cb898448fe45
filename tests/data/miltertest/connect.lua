-- Connections from all kinds of clients, and HELO, again and again.
dofile(folder .. "/common.lua")

local function from(ip, expected)
    local conn = open()
    go(conn, "connect", "mail.sender.example", ip)
    go(conn, "helo", "mail.sender.example")
    mail(conn)
    for _, name in ipairs({"X-Net", "X-Six", "X-None", "X-Out"}) do
        if name == expected then
            inserted(conn, name, "yes")
        else
            not_inserted(conn, name)
        end
    end
    nothing_else(conn)
    mt.disconnect(conn, true)
end

run(function()
    from(OUTSIDE, "X-Net")
    from("2001:db8::70", "X-Six")
    from("unspec", "X-None")
    from(INSIDE, "X-Out")
    -- a client may greet again; the last name counts
    local conn = open()
    go(conn, "connect", "mail.sender.example", OUTSIDE)
    go(conn, "helo", "other.example")
    mail(conn)
    not_inserted(conn, "X-Helo")
    go(conn, "helo", "name.example")
    go(conn, "helo", "name.example")
    mail(conn)
    inserted(conn, "X-Helo", "yes")
    go(conn, "helo", "[192.0.2.70]")
    mail(conn)
    not_inserted(conn, "X-Helo")
    mt.disconnect(conn, true)
    -- one who connects and says nothing
    conn = open()
    go(conn, "connect", "mail.sender.example", OUTSIDE)
    mt.disconnect(conn, true)
    conn = open()
    mt.disconnect(conn, true)
end)
