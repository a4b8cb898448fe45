/*
 * DSNs of whatever strangers have said: addresses, parameters, replies, host names and the
 * original. The first bytes are the small fields, then each string with its length in front,
 * the rest is the original. However it is put together, lines are short and end in CRLF, seven
 * bits stay seven bits, and there is one block for each recipient.
 */
#include <stdint.h>

#include "base/must.h"
#include "queue/dsn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINE_MOST = 998, SMALL = 8, RCPTS = 3 };

/* A string with a byte of length in front. */
static struct slice
take(struct slice *rest)
{
	size_t n = rest->n > 0 ? (unsigned char)rest->p[0] * 3U : 0;
	struct slice s = slice_first(slice_from(*rest, rest->n > 0 ? 1 : 0), n);
	*rest = slice_from(*rest, s.n + (rest->n > 0 ? 1 : 0));
	return s;
}

static struct address
take_address(struct slice *rest)
{
	struct slice s = take(rest);
	return (struct address){.text = s, .raw = s, .is_null = s.n == 0};
}

static void
check(const struct dsn *d, size_t n_rcpts)
{
	struct slice rest = d->bytes, line, block = SLICE("Final-Recipient: ");
	size_t blocks = 0;
	bool eightbit = false, status = false;
	must(slice_ends(slice_first(rest, d->header_bytes), SLICE("\r\n\r\n")));
	while (rest.n > 0) {
		size_t end = slice_find_slice(rest, SLICE("\r\n"));
		must(end < rest.n && end <= LINE_MOST);
		line = slice_first(rest, end);
		rest = slice_from(rest, end + 2);
		must(!slice_has(line, '\r') && !slice_has(line, '\n') && !slice_has(line, 0));
		for (size_t i = 0; i < line.n; i++)
			eightbit |= (unsigned char)line.p[i] >= 0x80;
		status |= slice_starts(line, SLICE("Reporting-MTA: "));
		status &= !slice_starts(line, SLICE("--=_"));
		blocks += status && slice_starts(line, block) ? 1 : 0;
	}
	must(blocks == n_rcpts && eightbit == d->eightbit);
}

static void
read_rcpt(struct slice *rest, const uint8_t *small, struct stored_rcpt *r,
	struct stored_rcpt_note *n)
{
	*r = (struct stored_rcpt){.address = take_address(rest)};
	r->params.orcpt = take(rest);
	*n = (struct stored_rcpt_note){.state = (enum rcpt_state)(small[0] % RCPT_STATES),
		.attempts = small[1],
		.last_ms = (uint64_t)small[2] << (small[2] % 64),
		.from_hop = small[3] % 2 == 1,
		.at = (enum failure_phase)(small[3] % FAILURE_PHASES)};
	n->failure = (struct failure){.class = (enum failure_class)(small[4] % FAILURE_CLASSES),
		.about = (enum failure_about)(small[4] % (ABOUT_THE_WAY + 1)),
		.permanent = small[4] >= 128};
	n->reply = (struct smtp_reply){.code = small[5] > 5 ? 200 + small[5] : 0,
		.enhanced = {small[5] % 6, small[6], small[6]},
		.has_enhanced = small[6] % 2 == 1,
		.text = take(rest)};
	n->host = take(rest);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stored_rcpt rcpts[RCPTS];
	struct stored_rcpt_note notes[RCPTS];
	struct dsn_rcpt list[RCPTS];
	struct dsn dsn;
	if (size < SMALL || size > (size_t)2 * DSN_RETURN_MOST)
		return 0;
	struct slice rest = {(const char *)data + SMALL, size - SMALL};
	struct stored_mail m = {.own = true, .sender = take_address(&rest)};
	m.sender.is_null = false;
	m.params.smtputf8 = data[7] % 2 == 1;
	m.params.ret = (enum smtp_ret)(data[7] % (SMTP_RET_HDRS + 1));
	m.params.envid = take(&rest);
	struct dsn_input in = {.hostname = SLICE("mx.example.org"),
		.domain = SLICE("example.org"),
		.mail = &m,
		.id = SLICE("00"),
		.rcpts = list,
		.n_rcpts = 1 + data[0] % RCPTS,
		.original_whole = data[7] % 5 > 0};
	for (size_t i = 0; i < in.n_rcpts; i++) {
		read_rcpt(&rest, data, &rcpts[i], &notes[i]);
		list[i] = (struct dsn_rcpt){&rcpts[i], &notes[i],
			(enum dsn_action)((data[7] >> (2 * i)) % DSN_ACTIONS)};
	}
	in.original = rest;
	struct arena *a = arena_new(DSN_ROOM(RCPTS));
	dsn_make(&in, a, &dsn);
	check(&dsn, in.n_rcpts);
	arena_free(&a);
	return 0;
}
