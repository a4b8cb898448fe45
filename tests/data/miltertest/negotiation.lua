-- What is asked for is on offer, and is what the rules need; an MTA that has it not is left.
dofile(folder .. "/common.lua")

local function asked(conn, o)
    for bit = 0, 28 do
        check(not mt.test_option(conn, 1 << bit) or o.steps & 1 << bit ~= 0,
            "step bit " .. bit .. " is taken and was not offered")
        check(not mt.test_action(conn, 1 << bit) or o.actions & 1 << bit ~= 0,
            "action bit " .. bit .. " is taken and was not offered")
    end
    for _, action in ipairs({SMFIF_ADDHDRS, SMFIF_CHGHDRS, SMFIF_ADDRCPT, SMFIF_DELRCPT}) do
        check(mt.test_action(conn, action), "action " .. action .. " is needed by the rules")
    end
    for _, action in ipairs({SMFIF_CHGBODY, SMFIF_QUARANTINE, SMFIF_CHGFROM}) do
        check(not mt.test_action(conn, action), "action " .. action .. " is needed by no rule")
    end
    for _, needed in ipairs({SMFIP_NOCONNECT, SMFIP_NOMAIL, SMFIP_NORCPT, SMFIP_NOHDRS}) do
        check(not mt.test_option(conn, needed), "step " .. needed .. " is left out")
    end
end

run(function()
    local o = offers[offer]
    local conn = open()
    asked(conn, o)
    greet(conn)
    mail(conn)
    mt.disconnect(conn, true)
    -- a version that is not there yet, and bits that mean nothing yet
    local later = {version = 7, steps = o.steps | 0x0fe00000, actions = o.actions | 0xfff000}
    conn = open(later)
    asked(conn, {version = 6, steps = o.steps, actions = o.actions})
    mt.disconnect(conn, true)
    -- the rules redirect: without ADDRCPT or DELRCPT they cannot be carried out
    for _, without in ipairs({0x04, 0x08}) do
        conn = mt.connect(socket)
        check(mt.negotiate(conn, o.version, o.steps, o.actions & ~without) ~= nil,
            "the MTA offers not what is needed, and is answered")
        mt.disconnect(conn, false)
    end
end)
