/*
 * A mail in quarantine and the scanner of now: what was kept weeks ago is not shown, released
 * or forwarded by what was known weeks ago. The scanner tells with each report which signatures
 * it has; a mail that was scanned with the same is not scanned again. A scanner reads its
 * signatures at its start, and a start is a new channel, so what a channel has said of them
 * holds; it is asked anew after a minute all the same.
 *
 * What could not be scanned is not clean: without a scanner nothing leaves, and what no scanner
 * can look into as a whole needs somebody who says that he knows it.
 */
#include "base/mem.h"
#include "base/must.h"
#include "queue/hand_words.h"
#include "queue/keeper_priv.h"
#include "scan/messages.h"

enum {
	SCAN_MS = 5 * 60 * 1000, /* the scanner has its own, shorter, clock */
	FRESH_MS = 60 * 1000,
	REPORT_ARENA = 2 * 1024 * 1024,
};

void
rescan_attach(struct keeper *k, int fd)
{
	k->signatures = 0;
	peer_attach(k->scanner, fd);
}

static enum rescan
not_now(struct mail *m, const char *why)
{
	m->rescan_why = arena_printf(m->holding->arena, "it cannot be scanned now: %s", why);
	return RESCAN_NOT_NOW;
}

static enum rescan
infected(struct mail *m, struct slice virus)
{
	m->rescan_why =
		arena_printf(m->holding->arena, "%.*s was found in it", SLICE_ARG(virus));
	return RESCAN_INFECTED;
}

/* Known already: it was scanned with what the scanner has now. */
static bool
is_known(const struct mail *m)
{
	const struct keeper *k = m->keeper;
	return k->signatures != 0 && loop_now(k->loop) - k->signatures_at_ms < FRESH_MS &&
	       stored_signatures(&m->mail, &m->note) == k->signatures;
}

static void
log_found(const struct mail *m, struct slice virus)
{
	char id[CUSTODY_ID_TEXT];
	struct log_line l;
	log_begin(&l, EV_QUARANTINE, NULL);
	log_slice(&l, "mail", m->mail.log);
	log_text(&l, "id", custody_id_text(&m->id, id));
	log_text(&l, "what", "a new scan found something");
	log_slice(&l, "name", m->mail.quarantine);
	log_slice(&l, "virus", virus);
	log_end(&l);
}

/* What is found or not found now takes the place of what was. */
static void
note_scan(struct mail *m, const struct scan_report *r)
{
	struct arena *a = m->holding->arena;
	char time[HAND_TIME_BYTES];
	bool found = r->status == SCAN_INFECTED;
	if (found && !slice_eq(stored_virus(&m->mail, &m->note), r->virus)) {
		m->note.history = stored_history(m->note.history,
			arena_printf(a, "%s scanned again: %.*s was found",
				hand_time((uint64_t)keeper_wall(m->keeper), time),
				SLICE_ARG(r->virus)),
			a);
		log_found(m, r->virus);
	}
	m->note.scanned = r->signatures;
	m->note.virus = found ? arena_slice(a, r->virus) : SLICE_NONE;
	mail_save(m);
}

static enum rescan
judge(struct mail *m, const struct scan_report *r)
{
	struct keeper *k = m->keeper;
	struct arena *a = m->holding->arena;
	if (r->status != SCAN_FAILED) {
		k->signatures = r->signatures;
		k->signatures_at_ms = loop_now(k->loop);
	}
	switch (r->status) {
	case SCAN_CLEAN: note_scan(m, r); return RESCAN_CLEAN;
	case SCAN_INFECTED: note_scan(m, r); return infected(m, m->note.virus);
	case SCAN_UNSCANNABLE:
		m->rescan_why = arena_printf(
			a, "the scanner cannot look into all of it: %.*s", SLICE_ARG(r->why));
		return RESCAN_UNSCANNABLE;
	case SCAN_FAILED: break;
	}
	return not_now(m, arena_text(a, r->why));
}

static void
on_report(void *arg, struct ipc_msg *msg)
{
	struct mail *m = arg;
	struct arena *a = arena_new(REPORT_ARENA);
	struct scan_report r;
	m->users--;
	if (msg == NULL || msg->type != SCAN_MSG_REPORT ||
		!scan_report_unpack(msg->payload, a, &r))
		m->rescan = not_now(m, "the scanner gave no report");
	else
		m->rescan = judge(m, &r);
	arena_free(&a);
	mail_idle(m);
}

/* Small mails travel in the message, others as a file. -1: it is not to be had. */
static int
attach(struct mail *m, struct scan_job *job, struct buf *bytes, int *fd_out)
{
	struct relay_reader reader;
	struct buf scratch;
	struct slice piece;
	struct err err;
	int result;
	*fd_out = -1;
	if (m->body_bytes > SCAN_INLINE_BYTES) {
		if (mail_body_to_file(m) < 0)
			return -1;
		*fd_out = m->body_file;
		return 0;
	}
	buf_init(&scratch, SCAN_INLINE_BYTES);
	relay_reader_init(&reader, &m->body);
	while ((result = relay_reader_next(
			&reader, SCAN_INLINE_BYTES, &scratch, &piece, &err)) == 0 &&
		piece.n != 0)
		must(buf_add(bytes, piece) == 0);
	buf_fini(&scratch);
	job->body = buf_slice(bytes);
	return result;
}

static enum rescan
ask(struct mail *m)
{
	struct scan_job job = {
		.want = SCAN_WANT_VIRUS, .set = m->mail.direction, .bytes = m->body_bytes};
	struct ipc_out out;
	struct slice payload;
	struct buf bytes;
	uint32_t asked = 0;
	int fd;
	buf_init(&bytes, SCAN_INLINE_BYTES);
	bool attached = attach(m, &job, &bytes, &fd) == 0;
	ipc_out_init(&out);
	scan_job_pack(&job, &out);
	if (attached && ipc_out_ok(&out, &payload))
		asked = peer_ask(m->keeper->scanner, SCAN_MSG_SCAN, payload, &fd, fd >= 0,
			SCAN_MS, on_report, m);
	ipc_out_fini(&out);
	buf_fini(&bytes);
	if (asked == 0)
		return not_now(
			m, attached ? "no scanner is free" : "there is no room for a copy");
	m->users++;
	return RESCAN_LATER;
}

static enum rescan
begin(struct mail *m)
{
	if (!m->keeper->settings.virus)
		return RESCAN_NO_FILTER;
	if (!peer_is_up(m->keeper->scanner))
		return not_now(m, "no scanner runs");
	if (is_known(m)) {
		struct slice virus = stored_virus(&m->mail, &m->note);
		return virus.n != 0 ? infected(m, virus) : RESCAN_CLEAN;
	}
	if (!mail_body(m, UINT32_MAX))
		return RESCAN_LATER;
	if (m->body_place != BODY_HERE)
		return not_now(m, "its body cannot be read");
	return ask(m);
}

/* Said once, it holds for as long as the mail is in memory: for what is done to it now. */
enum rescan
rescan(struct mail *m)
{
	if (m->rescan == RESCAN_LATER)
		m->rescan = begin(m);
	return m->rescan;
}
