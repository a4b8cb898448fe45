-- Many connections at once, each a step further in turn, with different mails.
dofile(folder .. "/common.lua")

local MANY = 40

run(function()
    local conns = {}
    for i = 1, MANY do
        conns[i] = open()
    end
    local function each(what)
        for i = 1, MANY do
            what(conns[i], i)
        end
    end
    for round = 1, 2 do
        if round == 1 then
            each(function(c, i) greet(c, i % 4 == 0 and INSIDE or OUTSIDE) end)
        end
        each(function(c, i) go(c, "mail", "<a" .. i .. "@sender.example>") end)
        each(function(c, i)
            if i % 3 == 0 and i % 4 ~= 0 then
                step(c, "rcpt", SMFIR_REPLYCODE, "<no@example.com>")
            else
                go(c, "rcpt", "<b" .. i .. "@example.com>")
            end
        end)
        each(function(c, i) go(c, "rcpt", "<c@example.com>") end)
        each(function(c) go(c, "data") end)
        each(function(c, i) header(c, {{"X-Want", i % 5 == 0 and "reject" or "nothing"}}) end)
        each(function(c, i) go(c, "body", "mail " .. i .. "\r\n") end)
        each(function(c, i)
            local refused = i % 5 == 0 and i % 4 ~= 0
            finish(c, refused and SMFIR_REPLYCODE or SMFIR_CONTINUE)
            if refused or i % 4 == 0 then
                not_inserted(c, "X-Tag")
            else
                inserted(c, "X-Tag", "yes")
            end
        end)
    end
    each(function(c, i) mt.disconnect(c, i % 2 == 0) end)
end)
