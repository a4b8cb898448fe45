-- What all scripts of this folder stand on; each begins with `dofile(folder .. "/common.lua")`.
-- By -D come folder, front ("native"), socket ("inet:8891@127.0.0.1"), offer (a word of `offers`),
-- and nothing: the steps of an MTA that can leave none out, skip no body and keep no space.
--
-- Each step is one check, whatever was negotiated: where it is sent, its answer; where it is not,
-- that this was on offer. So a script makes the same number of checks under every offer.

-- mt.negotiate takes version, steps, actions: the manual names the last two the other way round.
offers = {
    ["6-all"] = {version = 6, steps = 0x101fffff, actions = 0x1ff},
    ["6-none"] = {version = 6, steps = math.tointeger(tonumber(nothing)), actions = 0x1ff},
    ["2-all"] = {version = 2, steps = 0x7f, actions = 0x3f},
    ["2-none"] = {version = 2, steps = math.tointeger(tonumber(nothing)), actions = 0x3f},
}
INSIDE, OUTSIDE = "198.51.100.70", "192.0.2.70"  -- clients, by the configurations

-- since: the version that has it. miltertest sends DATA in every one, before the first field.
local steps = {
    connect = {call = mt.conninfo, no = SMFIP_NOCONNECT, nr = SMFIP_NR_CONN, since = 2},
    helo = {call = mt.helo, no = SMFIP_NOHELO, nr = SMFIP_NR_HELO, since = 2},
    mail = {call = mt.mailfrom, no = SMFIP_NOMAIL, nr = SMFIP_NR_MAIL, since = 2},
    rcpt = {call = mt.rcptto, no = SMFIP_NORCPT, nr = SMFIP_NR_RCPT, since = 2},
    data = {call = mt.data, no = SMFIP_NODATA, nr = SMFIP_NR_DATA, since = 2},
    header = {call = mt.header, no = SMFIP_NOHDRS, nr = SMFIP_NR_HDR, since = 2},
    eoh = {call = mt.eoh, no = SMFIP_NOEOH, nr = SMFIP_NR_EOH, since = 2},
    body = {call = mt.bodystring, no = SMFIP_NOBODY, nr = SMFIP_NR_BODY, since = 2},
    random = {call = mt.bodyrandom, no = SMFIP_NOBODY, nr = SMFIP_NR_BODY, since = 2},
    unknown = {call = mt.unknown, no = SMFIP_NOUNKNOWN, nr = SMFIP_NR_UNKN, since = 3},
}
local checks = 0

function check(right, what)
    checks = checks + 1
    if not right then
        error(what, 2)
    end
end

-- "C": the letter of a reply.
local function letter(reply)
    return string.char(math.floor(reply))
end

local function has(set, bits)
    return set & math.floor(bits) ~= 0
end

-- The script itself, by the name of each thing in it; what goes wrong is told aloud.
function run(script)
    local right, what = xpcall(script, function(e) return debug.traceback(tostring(e)) end)
    if not right then
        mt.echo("FAILED with offer " .. offer .. ": " .. tostring(what))
        error(what)
    end
    mt.echo("checks " .. checks)
end

-- A connection, negotiated; offered: another offer than the run's.
function open(offered)
    local o = offered or offers[offer]
    local conn = mt.connect(socket)
    local wrong = conn and mt.negotiate(conn, o.version, o.steps, o.actions)
    check(conn ~= nil and wrong == nil, "the negotiation failed: " .. tostring(wrong))
    return conn
end

-- Whether the MTA shows this step, and whether it awaits an answer.
function sent(conn, name)
    local s = steps[name]
    return offers[offer].version >= s.since and not mt.test_option(conn, s.no)
end

function answered(conn, name)
    return sent(conn, name) and not mt.test_option(conn, steps[name].nr)
end

-- One step. reply is what the answer must be, where one is awaited.
function step(conn, name, reply, ...)
    local s, o = steps[name], offers[offer]
    if not sent(conn, name) then
        check(o.version < s.since or has(o.steps, s.no), name .. " is left out and was not offered")
        return
    end
    local wrong = s.call(conn, ...)
    local want = answered(conn, name) and reply or SMFIR_CONTINUE
    local got = mt.getreply(conn)
    check(wrong == nil and got == want, string.format("%s: %s instead of %s (%s)", name,
        letter(got), letter(want), tostring(wrong)))
end

function go(conn, name, ...)
    step(conn, name, SMFIR_CONTINUE, ...)
end

function finish(conn, reply)
    local wrong = mt.eom(conn)
    local got = mt.getreply(conn)
    check(wrong == nil and got == reply, string.format("eom: %s instead of %s (%s)", letter(got),
        letter(reply), tostring(wrong)))
end

-- A header value as the MTA sends it: with its space where that was agreed.
function space(conn)
    return mt.test_option(conn, SMFIP_HDR_LEADSPC) and " " or ""
end

function field(conn, name, value)
    go(conn, "header", name, space(conn) .. value)
end

function greet(conn, ip)
    go(conn, "connect", "mail.sender.example", ip or OUTSIDE)
    go(conn, "helo", "mail.sender.example")
end

-- From MAIL to DATA, all of it taken.
function envelope(conn, sender, ...)
    go(conn, "mail", sender or "<a@sender.example>")
    for _, recipient in ipairs({...}) do
        go(conn, "rcpt", recipient)
    end
    if select("#", ...) == 0 then
        go(conn, "rcpt", "<b@example.com>")
    end
    go(conn, "data")
end

-- The header's usual fields; more: {{name, value}, ...} above them.
function header(conn, more)
    for _, one in ipairs(more or {}) do
        field(conn, one[1], one[2])
    end
    field(conn, "From", "Ann <a@sender.example>")
    field(conn, "To", "Bob <b@example.com>")
    field(conn, "Subject", "a mail for the filter")
    field(conn, "Date", "Sun, 29 Nov 2026 00:00:00 +0000")
    field(conn, "Message-ID", "<1@sender.example>")
    go(conn, "eoh")
end

-- A whole mail that is answered so at its end.
function mail(conn, reply, sender, ...)
    envelope(conn, sender, ...)
    header(conn)
    go(conn, "body", "Hello Bob\r\n")
    finish(conn, reply or SMFIR_CONTINUE)
end

-- Edits that were answered with the last mail.
function inserted(conn, name, value)
    check(mt.eom_check(conn, MT_HDRINSERT, name, space(conn) .. value, 0),
        string.format("%s: %s was not inserted on top, but %s", name, value,
            tostring(mt.getheader(conn, name, 0))))
end

function not_inserted(conn, name)
    check(not mt.eom_check(conn, MT_HDRINSERT, name), name .. " was inserted")
end

function deleted(conn, name, place)
    check(mt.eom_check(conn, MT_HDRDELETE, name, place), name .. " " .. place .. " was not deleted")
end

function not_deleted(conn, name, place)
    check(not mt.eom_check(conn, MT_HDRDELETE, name, place), name .. " " .. place .. " was deleted")
end

-- Nothing that Postern's language has no word for.
function nothing_else(conn)
    check(not mt.eom_check(conn, MT_BODYCHANGE) and not mt.eom_check(conn, MT_QUARANTINE) and
        not mt.eom_check(conn, MT_HDRADD), "an edit that no rule can ask for")
end

function said(conn, code, enhanced, text)
    check(mt.eom_check(conn, MT_SMTPREPLY, code, enhanced, text),
        "the reply is not " .. code .. " " .. enhanced .. " " .. text)
end
