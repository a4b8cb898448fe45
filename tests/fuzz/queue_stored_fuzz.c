/*
 * Envelopes and notes as a damaged disk might give them back. The first byte says which; a note
 * is read for a mail of 40 recipients. What is taken is fit for use: packed again it fits and
 * reads the same, and nothing in it could end a line of a command.
 */
#include <stdint.h>

#include "base/must.h"
#include "queue/stored.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RCPTS = 40 };

static void
check_mail(struct slice bytes, struct arena *a)
{
	struct stored_mail m, again;
	struct buf out;
	if (!stored_mail_unpack(bytes, a, &m))
		return;
	must(m.n_rcpts > 0 && !slice_has(m.sender.raw, '\n'));
	for (size_t i = 0; i < m.n_rcpts; i++)
		must(!slice_has(m.rcpts[i].address.raw, '\r') && m.rcpts[i].address.raw.n > 0);
	buf_init(&out, CUSTODY_ENVELOPE_MOST);
	must(stored_mail_pack(&m, &out) == 0);
	must(stored_mail_unpack(buf_slice(&out), a, &again) && again.n_rcpts == m.n_rcpts);
	must(slice_eq(again.sender.local, m.sender.local));
	must(slice_eq(again.facts, m.facts) && slice_eq(again.virus, m.virus));
	must(again.signatures == m.signatures && !slice_has(m.facts, '\x1b'));
	buf_fini(&out);
}

static void
check_note(struct slice bytes, struct arena *a)
{
	struct stored_rcpt rcpts[RCPTS] = {{.way = DELIVERY_BY_DOMAIN}};
	struct stored_mail m = {.rcpts = rcpts, .n_rcpts = RCPTS};
	struct stored_note n, again;
	struct buf out;
	if (!stored_note_unpack(bytes, &m, a, &n))
		return;
	buf_init(&out, CUSTODY_NOTE_MOST);
	must(stored_note_pack(&n, &out) == 0);
	must(stored_note_unpack(buf_slice(&out), &m, a, &again));
	must(again.held == n.held && again.expire == n.expire);
	must(slice_eq(again.by, n.by) && slice_eq(again.history, n.history));
	must(slice_eq(again.virus, n.virus) && again.scanned == n.scanned);
	for (size_t i = 0; i < RCPTS; i++)
		must(again.rcpts[i].state == n.rcpts[i].state &&
			again.rcpts[i].way == n.rcpts[i].way &&
			again.rcpts[i].attempts == n.rcpts[i].attempts &&
			slice_eq(again.rcpts[i].reply.text, n.rcpts[i].reply.text));
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct slice bytes = {(const char *)data + 1, size - 1};
	struct arena *a = arena_new((size_t)8 * 1024 * 1024);
	if (data[0] % 2 == 0)
		check_mail(bytes, a);
	else
		check_note(bytes, a);
	arena_free(&a);
	return 0;
}
