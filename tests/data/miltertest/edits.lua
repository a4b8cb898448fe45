-- Edits of the header: tags, removals by place, and what claims to be our own results.
dofile(folder .. "/common.lua")

local function with(conn, fields)
    envelope(conn)
    header(conn, fields)
    go(conn, "body", "Hello Bob\r\n")
    finish(conn, SMFIR_CONTINUE)
    nothing_else(conn)
end

run(function()
    local conn = open()
    greet(conn)
    with(conn, {})
    inserted(conn, "X-Tag", "first")
    inserted(conn, "X-Two", "a: b; c")
    not_inserted(conn, "X-Never")
    check(mt.eom_check(conn, MT_HDRINSERT, "Authentication-Results"), "no results of ours")
    check(mt.getheader(conn, "Authentication-Results", 0):find("^ ?mx%.example%.com;") ~= nil,
        "the results do not begin with our name")
    check(mt.getheader(conn, "Authentication-Results", 1) == nil, "results twice")
    check(not mt.eom_check(conn, MT_HDRDELETE), "something was deleted")
    check(not mt.getheader(conn, "X-Tag", 0):find("\r"), "a CR in a value")
    -- what came under the name of a tag goes, at each of its places
    with(conn, {{"X-Tag", "forged"}, {"X-Other", "stays"}, {"x-tag", "forged again"}})
    inserted(conn, "X-Tag", "first")
    deleted(conn, "X-Tag", 1)
    deleted(conn, "x-tag", 2)
    not_deleted(conn, "X-Tag", 3)
    check(not mt.eom_check(conn, MT_HDRDELETE, "X-Other"), "X-Other was deleted")
    with(conn, {{"X-Gone", "1"}, {"X-Stay", "1"}, {"X-GONE", "2"}, {"X-Gone", "\n 3"}})
    deleted(conn, "X-Gone", 1)
    deleted(conn, "X-GONE", 2)
    deleted(conn, "X-Gone", 3)
    not_deleted(conn, "X-Gone", 4)
    check(not mt.eom_check(conn, MT_HDRDELETE, "X-Stay"), "X-Stay was deleted")
    -- results that claim to be ours, among those of others
    local results = "Authentication-Results"
    with(conn, {{results, "other.example; spf=pass"}, {results, "mx.example.com; dkim=pass"},
                {results, "(c) mx.example.com 1; none"}, {results, "mx.example.com.other.example; none"}})
    not_deleted(conn, results, 1)
    deleted(conn, results, 2)
    deleted(conn, results, 3)
    not_deleted(conn, results, 4)
    -- the next mail knows nothing of it
    with(conn, {})
    check(not mt.eom_check(conn, MT_HDRDELETE), "edits of the mail before")
    mt.disconnect(conn, true)
end)
