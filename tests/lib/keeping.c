/* The keeper and everything around it, played by the test; see keeping.h. */
#include "keeping.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "delivery/messages.h"
#include "delivery/signer.h"
#include "io/child.h"
#include "io/control.h"
#include "scan/messages.h"

enum { WAIT_MS = 60 * 1000 }; /* of a machine that is busy with other things */

static void
on_late(void *arg)
{
	struct keeping *k = arg;
	k->timed_out = true;
	loop_stop(k->loop);
}

void
keeping_run_for(struct keeping *k, uint32_t ms)
{
	struct err err;
	loop_timer_set(&k->late, ms);
	must(loop_run(k->loop, &err) == 0);
	loop_timer_clear(&k->late);
}

static void
run_until(struct keeping *k, const bool *what)
{
	for (int i = 0; i < WAIT_MS / 10 && !*what; i++)
		keeping_run_for(k, 10);
	must(*what);
}

void
keeping_until(struct keeping *k, const size_t *what, size_t least)
{
	for (int i = 0; i < WAIT_MS / 10 && *what < least; i++)
		keeping_run_for(k, 10);
	must(*what >= least);
}

/* ---- a delivery process ---- */

static void
say(struct relay_rcpt *r, enum relay_fate fate, const char *reply, enum smtp_client_phase phase)
{
	r->fate = fate;
	r->reply = smtp_reply_of(reply);
	r->phase = phase;
}

/* What the remote says of one recipient; at: of all. False: nothing yet. */
static bool
says(struct slice word, struct relay_rcpt *r, enum failure_phase *at)
{
	if (slice_eq(word, SLICE("ok")))
		say(r, RELAY_TAKEN, "250 2.0.0 taken as 4711", SMTP_CL_DOT);
	else if (slice_eq(word, SLICE("550")))
		say(r, RELAY_REFUSED, "550 5.1.1 no such user here", SMTP_CL_RCPT);
	else if (slice_eq(word, SLICE("554")))
		say(r, RELAY_REFUSED, "554 5.7.1 your message looks like spam", SMTP_CL_DOT);
	else if (slice_eq(word, SLICE("450")))
		say(r, RELAY_DEFERRED, "450 4.2.0 mailbox is locked", SMTP_CL_RCPT);
	else if (slice_eq(word, SLICE("451")))
		say(r, RELAY_DEFERRED, "451 4.3.0 try again later", SMTP_CL_DOT);
	else if (slice_eq(word, SLICE("grey")))
		say(r, RELAY_DEFERRED, "451 4.7.1 greylisted, please try again in 5 minutes",
			SMTP_CL_RCPT);
	else if (slice_eq(word, SLICE("listed")))
		say(r, RELAY_REFUSED,
			"554 5.7.1 Service unavailable; client host [192.0.2.1] blocked using "
			"zen.spamhaus.org",
			SMTP_CL_RCPT);
	else if (slice_eq(word, SLICE("doubt")))
		say(r, RELAY_DOUBT, "451 4.4.2 lost after the data", SMTP_CL_DOT);
	else if (slice_eq(word, SLICE("dead"))) {
		say(r, RELAY_DEFERRED, "451 4.4.1 no connection", SMTP_CL_GREETING);
		*at = FAILURE_AT_CONNECT;
	} else
		return false;
	return true;
}

static struct slice
word_of(struct slice local)
{
	size_t n = 0;
	while (n < local.n && local.p[n] != '.')
		n++;
	return slice_first(local, n);
}

static void
answer(struct keeping *k, uint32_t id, struct delivery_result *r)
{
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	delivery_result_pack(r, &out);
	must(ipc_out_ok(&out, &payload));
	must(ipc_send(k->delivery, DELIVERY_MSG_RESULT, id, payload) == 0);
	ipc_out_fini(&out);
}

static void
remember(struct keeping *k, struct keeping_mail *a, const struct delivery_mail *m)
{
	struct relay_reader reader;
	struct buf scratch;
	struct slice piece;
	struct err err;
	size_t used = 0;
	buf_init(&a->data, 1024 * 1024);
	buf_init(&scratch, 64 * 1024);
	relay_reader_init(&reader, &m->body);
	while (relay_reader_next(&reader, 64 * 1024, &scratch, &piece, &err) == 0 &&
		piece.n != 0)
		(void)buf_add(&a->data, piece); /* its first megabyte */
	buf_fini(&scratch);
	a->null_sender = m->sender.is_null;
	a->way = m->way;
	a->n_rcpts = m->n_rcpts;
	for (size_t i = 0; i < m->n_rcpts && used < sizeof(a->rcpts); i++)
		used += (size_t)snprintf(a->rcpts + used, sizeof(a->rcpts) - used, "%s%.*s",
			i != 0 ? " " : "", SLICE_ARG(m->rcpts[i].address.raw));
	if (m->prefer.family != 0)
		(void)ip_text(&m->prefer, a->prefer);
	if (m->sender.is_null)
		k->notices++;
	else
		k->attempts += m->n_rcpts;
}

static void
judge(struct keeping *k, struct keeping_mail *a, const struct delivery_mail *m, const char *as)
{
	struct delivery_result r = {.reply = smtp_reply_of("250 2.0.0 taken as 4711"),
		.phase = SMTP_CL_DOT,
		.at = FAILURE_AT_DOT,
		.from_hop = true,
		.dsn = k->remote_dsn,
		.hop = SLICE("192.0.2.25:25"),
		.host = SLICE("mx.remote.example"),
		.address = SLICE("192.0.2.25:25"),
		.banner = SLICE("mx.remote.example ESMTP"),
		.rcpts = m->rcpts,
		.n_rcpts = m->n_rcpts};
	bool silent = false;
	for (size_t i = 0; i < m->n_rcpts; i++) {
		struct slice word = as != NULL && as[0] != '\0'
					    ? slice_of(as)
					    : word_of(m->rcpts[i].address.local);
		if (k->all_say != NULL)
			word = slice_of(k->all_say);
		if (m->sender.is_null)
			word = k->dsn_fails ? SLICE("451") : SLICE("ok");
		silent = !says(word, &m->rcpts[i], &r.at) || silent;
	}
	if (silent)
		return;
	if (r.at == FAILURE_AT_CONNECT) {
		r.from_hop = false;
		r.banner = SLICE_NONE;
	}
	r.reply = m->rcpts[0].reply;
	a->answered = true;
	answer(k, a->id, &r);
}

static void
on_delivery(void *arg, struct ipc_msg *msg)
{
	struct keeping *k = arg;
	if (msg->type == DELIVERY_MSG_CANCEL) {
		for (size_t i = 0; i < k->n_asked; i++)
			k->asked[i].cancelled =
				k->asked[i].cancelled || k->asked[i].id == msg->id;
		keeping_let_go(k, "451");
		return;
	}
	struct delivery_mail m;
	int fd = ipc_take_fd(msg, 0);
	must(msg->type == DELIVERY_MSG_MAIL && k->n_asked < KEEPING_ASKED_MOST);
	struct arena *a = arena_new(4 * 1024 * 1024);
	must(delivery_mail_unpack(arena_slice(a, msg->payload), fd, a, &m));
	struct keeping_mail *asked = &k->asked[k->n_asked++];
	*asked = (struct keeping_mail){.id = msg->id};
	remember(k, asked, &m);
	judge(k, asked, &m, NULL);
	arena_free(&a);
	if (fd >= 0)
		close(fd);
}

void
keeping_let_go(struct keeping *k, const char *as)
{
	for (size_t i = 0; i < k->n_asked; i++) {
		struct keeping_mail *a = &k->asked[i];
		if (a->answered || k->delivery == NULL)
			continue;
		struct relay_rcpt *rcpts = arena_array(k->arena, a->n_rcpts, sizeof(*rcpts));
		struct delivery_mail m = {.rcpts = rcpts, .n_rcpts = a->n_rcpts};
		judge(k, a, &m, as);
	}
}

static void
on_ignored(void *arg, const struct err *err)
{
	(void)arg, (void)err;
}

/* ---- a signer: its signatures are no signatures, but there are so many of them ---- */

static void
on_signer(void *arg, struct ipc_msg *m)
{
	struct keeping *k = arg;
	struct signer_job jobs[SIGNER_BATCH_MOST];
	struct slice signatures[SIGNER_BATCH_MOST];
	struct ipc_out out;
	struct slice payload;
	size_t n;
	must(m->type == SIGNER_MSG_SIGN && signer_jobs_unpack(m->payload, jobs, &n));
	if (k->signer_is_silent)
		return;
	for (size_t i = 0; i < n; i++)
		signatures[i] = SLICE("0123456789012345678901234567890123456789012345678901234"
				      "567890123");
	ipc_out_init(&out);
	signer_signatures_pack(signatures, n, &out);
	must(ipc_out_ok(&out, &payload));
	must(ipc_send(k->signer, SIGNER_MSG_SIGNED, m->id, payload) == 0);
	ipc_out_fini(&out);
}

/* ---- a scanner ---- */

static void
read_job(struct keeping *k, const struct scan_job *j, int fd)
{
	buf_clear(&k->scanned);
	if (fd < 0) {
		must(buf_add(&k->scanned, j->body) == 0);
		return;
	}
	char *bytes = arena_alloc(k->arena, j->bytes);
	must(pread(fd, bytes, j->bytes, 0) == (ssize_t)j->bytes);
	must(buf_add(&k->scanned, (struct slice){bytes, j->bytes}) == 0);
}

static void
on_scanner(void *arg, struct ipc_msg *m)
{
	struct keeping *k = arg;
	struct scan_job j;
	int fd = ipc_take_fd(m, 0);
	must(m->type == SCAN_MSG_SCAN && scan_job_unpack(m->payload, fd >= 0, &j));
	must(j.want == SCAN_WANT_VIRUS);
	k->scans++;
	read_job(k, &j, fd);
	if (fd >= 0)
		close(fd);
	if (k->scanner_is_silent)
		return;
	struct slice word = slice_of(k->scan_word);
	struct scan_report r = {.status = k->scan_says, .signatures = k->signatures};
	if (r.status == SCAN_INFECTED)
		r.virus = word;
	else
		r.why = word;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	scan_report_pack(&r, &out);
	must(ipc_out_ok(&out, &payload));
	must(ipc_send(k->scanner, SCAN_MSG_REPORT, m->id, payload) == 0);
	ipc_out_fini(&out);
}

/* ---- parent and session ---- */

static void
on_control(void *arg, struct ipc_msg *m)
{
	struct keeping *k = arg;
	must(m->type == CONTROL_READY);
	k->ready = true;
	loop_stop(k->loop);
}

static void
on_control_gone(void *arg, const struct err *err)
{
	struct keeping *k = arg;
	(void)err;
	k->gone = true;
	loop_stop(k->loop);
}

static int
give(struct keeping *k, enum process_kind kind)
{
	int fds[2];
	struct err err;
	must(ipc_pair(fds, &err) == 0);
	must(control_send_peer(k->control, kind, 0, fds[1]) == 0);
	close(fds[1]);
	return fds[0];
}

void
keeping_attach_delivery(struct keeping *k)
{
	static const struct ipc_calls calls = {
		.on_message = on_delivery, .on_gone = on_ignored};
	ipc_free(&k->delivery);
	k->delivery = ipc_new(k->loop, give(k, PROCESS_DELIVERY), 16 * 1024 * 1024, &calls, k);
}

void
keeping_attach_scanner(struct keeping *k)
{
	static const struct ipc_calls calls = {.on_message = on_scanner, .on_gone = on_ignored};
	ipc_free(&k->scanner);
	buf_fini(&k->scanned);
	buf_init(&k->scanned, 1024 * 1024);
	k->scanner = ipc_new(k->loop, give(k, PROCESS_SCANNER), 1024 * 1024, &calls, k);
	keeping_run_for(k, 20); /* it is there before anybody asks for it */
}

void
keeping_end_scanner(struct keeping *k)
{
	ipc_free(&k->scanner);
}

void
keeping_start(struct keeping *k)
{
	static const struct ipc_calls control = {
		.on_message = on_control, .on_gone = on_control_gone};
	static const struct ipc_calls signer = {.on_message = on_signer, .on_gone = on_ignored};
	struct err err;
	char path[80];
	int fds[2];
	k->ready = k->gone = false;
	k->spool = open(k->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(k->spool >= 0);
	snprintf(path, sizeof(path), "%s/control", k->folder);
	k->start.settings = &k->settings;
	k->start.spool = k->spool;
	k->start.hand = ipc_listen(path, 0600, &err);
	must(k->start.hand >= 0 && ipc_pair(fds, &err) == 0);
	k->start.control_fd = fds[1];
	int keep[] = {fds[1], k->spool, k->start.hand};
	struct child_spec spec = {.kind = "keeper",
		.keep = keep,
		.nkeep = 3,
		.run = keeper_main,
		.arg = &k->start};
	k->pid = child_fork(&spec, &err);
	must(k->pid > 0);
	close(fds[1]);
	close(k->spool);
	close(k->start.hand);
	k->control = ipc_new(k->loop, fds[0], 64 * 1024, &control, k);
	k->session = peer_new(k->loop, "keeper", 256);
	run_until(k, &k->ready);
	peer_attach(k->session, give(k, PROCESS_SESSION));
	keeping_attach_delivery(k);
	k->signer = ipc_new(k->loop, give(k, PROCESS_SIGNER), 64 * 1024, &signer, k);
}

void
keeping_open(struct keeping *k)
{
	struct err err;
	struct queue_settings *s = &k->settings;
	k->arena = arena_new(512 * 1024 * 1024);
	k->loop = loop_new(&err);
	must(k->loop != NULL);
	loop_timer_init(&k->late, k->loop, on_late, k);
	snprintf(k->folder, sizeof(k->folder), "/tmp/keeping.XXXXXX");
	must(mkdtemp(k->folder) != NULL);
	s->hostname = SLICE("gate.example");
	s->way = s->way != SEND_NONE ? s->way : SEND_DIRECT;
	s->deliveries = 1;
	if (s->queue.retry_ms == 0)
		s->queue = (struct conf_queue){.retry_ms = 60 * 1000,
			.retry_most_ms = 3600 * 1000,
			.lifetime_ms = 3600 * 1000,
			.attempts = 200};
	if (k->start.open == NULL)
		k->start.open = segments_open;
	keeping_start(k);
}

static void
forget(struct keeping *k)
{
	peer_free(&k->session);
	ipc_free(&k->delivery);
	ipc_free(&k->signer);
	ipc_free(&k->scanner);
	buf_fini(&k->scanned);
	k->scans = 0;
	ipc_free(&k->control);
	for (size_t i = 0; i < k->n_asked; i++)
		buf_fini(&k->asked[i].data);
	k->n_asked = 0;
	k->attempts = k->notices = 0;
}

static int
reap(struct keeping *k)
{
	int status;
	pid_t pid;
	do
		pid = waitpid(k->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	must(pid == k->pid);
	return status;
}

void
keeping_stop(struct keeping *k)
{
	must(control_send_stop(k->control) == 0);
	keeping_let_go(k, "451");
	run_until(k, &k->gone);
	int status = reap(k);
	must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	forget(k);
}

void
keeping_kill(struct keeping *k)
{
	kill(k->pid, SIGKILL);
	(void)reap(k);
	forget(k);
}

void
keeping_close(struct keeping *k)
{
	if (k->control != NULL)
		keeping_stop(k);
	char *argv[] = {(char *)(uintptr_t) "rm", (char *)(uintptr_t) "-rf", k->folder, NULL};
	pid_t pid = fork();
	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	must(pid > 0 && waitpid(pid, NULL, 0) == pid);
	loop_timer_clear(&k->late);
	loop_free(&k->loop);
	arena_free(&k->arena);
}

static struct address
address_of(struct slice s)
{
	struct slice local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){.local = local, .domain = domain, .text = s, .raw = s};
}

struct queue_parcel
keeping_parcel(struct keeping *k, const char *rcpts)
{
	struct queue_parcel p = {.mail = {.kind = STORED_SEND,
					 .direction = OUTBOUND,
					 .own = true,
					 .log = SLICE("test.1"),
					 .sender = address_of(SLICE("sender@ours.example"))}};
	struct slice rest = arena_slice(k->arena, slice_of(rcpts)), one;
	p.mail.arrived_ms = (uint64_t)clock_wall_ms();
	p.mail.rcpts = arena_array(k->arena, KEEPING_RCPTS_MOST, sizeof(*p.mail.rcpts));
	while (rest.n != 0) {
		(void)slice_cut(rest, ' ', &one, &rest);
		struct stored_rcpt *r = &p.mail.rcpts[p.mail.n_rcpts++];
		r->address = address_of(one);
		r->site = r->address.domain;
		r->way = DELIVERY_BY_SEND;
	}
	relay_body_init(&p.body, k->arena);
	must(relay_body_add(&p.body, SLICE("From: sender@ours.example\r\nSubject: s\r\n"
					   "Date: Sun, 29 Nov 2026 07:00:00 +0000\r\n"
					   "\r\nhello\r\n")) == 0);
	return p;
}

static void
on_result(void *arg, struct ipc_msg *m)
{
	struct keeping *k = arg;
	k->has_result = true;
	k->lost = m == NULL;
	if (m != NULL)
		must(m->type == QUEUE_MSG_RESULT &&
			queue_result_unpack(
				arena_slice(k->arena, m->payload), k->arena, &k->result));
	loop_stop(k->loop);
}

uint32_t
keeping_ask(struct keeping *k, struct queue_parcel *parcels, size_t n, uint32_t budget_ms)
{
	struct queue_take t = {.budget_ms = budget_ms,
		.give_back = k->give_back,
		.client = SLICE("192.0.2.9"),
		.parcels = parcels,
		.n = n};
	struct ipc_out out;
	struct slice payload;
	struct err err;
	int fds[IPC_FDS_MOST], large;
	size_t n_fds;
	ipc_out_init(&out);
	must(queue_take_pack(&t, -1, &out, fds, &n_fds, &large, &err) == 0);
	must(ipc_out_ok(&out, &payload));
	k->has_result = false;
	uint32_t id = peer_ask(
		k->session, QUEUE_MSG_TAKE, payload, fds, n_fds, 60 * 1000, on_result, k);
	must(id != 0);
	ipc_out_fini(&out);
	if (large >= 0)
		close(large);
	return id;
}

void
keeping_wait_result(struct keeping *k)
{
	run_until(k, &k->has_result);
}

const struct queue_result *
keeping_take(struct keeping *k, struct queue_parcel *parcels, size_t n, uint32_t budget_ms)
{
	(void)keeping_ask(k, parcels, n, budget_ms);
	keeping_wait_result(k);
	must(!k->lost);
	return &k->result;
}

/* ---- `postern queue` ---- */

struct acting {
	struct arena *arena;
	struct hand_done done;
	enum hand_msg type;
	struct slice payload;
	bool is_done;
};

static void
on_answer(void *arg, struct ipc_msg *m)
{
	struct acting *a = arg;
	a->type = (enum hand_msg)m->type;
	a->payload = arena_slice(a->arena, m->payload);
	a->is_done = true;
}

static void
on_acted(void *arg, struct ipc_msg *m)
{
	struct acting *a = arg;
	must(m->type == HAND_MSG_DONE && hand_done_unpack(m->payload, &a->done));
	a->done.why = arena_slice(a->arena, a->done.why);
	a->is_done = true;
}

static struct ipc *
connect_hand(struct keeping *k, const struct ipc_calls *calls, struct acting *a)
{
	struct err err;
	char path[80];
	*a = (struct acting){.arena = k->arena};
	snprintf(path, sizeof(path), "%s/control", k->folder);
	int fd = ipc_connect(path, &err);
	must(fd >= 0);
	return ipc_new(k->loop, fd, 64 * 1024, calls, a);
}

static struct ipc *
send_act(struct keeping *k, const struct hand_act *act, struct acting *a)
{
	static const struct ipc_calls calls = {.on_message = on_acted, .on_gone = on_ignored};
	struct ipc_out out;
	struct slice payload;
	struct ipc *channel = connect_hand(k, &calls, a);
	ipc_out_init(&out);
	hand_act_pack(act, &out);
	must(ipc_out_ok(&out, &payload) && ipc_send(channel, HAND_MSG_ACT, 1, payload) == 0);
	ipc_out_fini(&out);
	return channel;
}

void
keeping_do(struct keeping *k, const struct hand_act *act, struct hand_done *d_out)
{
	struct acting a;
	struct ipc *channel = send_act(k, act, &a);
	run_until(k, &a.is_done);
	ipc_free(&channel);
	*d_out = a.done;
}

void
keeping_do_and_go(struct keeping *k, const struct hand_act *act)
{
	struct acting a;
	struct ipc *channel = send_act(k, act, &a);
	keeping_run_for(k, 1);
	ipc_free(&channel);
}

bool
keeping_body(struct keeping *k, const struct hand_body *b, struct slice *answer_out)
{
	static const struct ipc_calls calls = {.on_message = on_answer, .on_gone = on_ignored};
	struct acting a;
	struct ipc_out out;
	struct slice payload;
	bool last;
	struct ipc *channel = connect_hand(k, &calls, &a);
	ipc_out_init(&out);
	hand_body_pack(b, &out);
	must(ipc_out_ok(&out, &payload) && ipc_send(channel, HAND_MSG_BODY, 1, payload) == 0);
	ipc_out_fini(&out);
	run_until(k, &a.is_done);
	ipc_free(&channel);
	*answer_out = a.payload;
	if (a.type == HAND_MSG_BYTES)
		must(hand_bytes_unpack(a.payload, answer_out, &last));
	return a.type == HAND_MSG_BYTES;
}

uint32_t
keeping_act(struct keeping *k, enum hand_action action, const struct custody_id *id)
{
	struct custody_id one = *id;
	struct hand_done d;
	keeping_do(k, &(struct hand_act){.action = action, .ids = &one, .n = 1}, &d);
	return d.done;
}

/* ---- what is stored ---- */

struct looking {
	struct keeping *k;
	struct custody *custody;
	keeping_each_fn *fn;
	void *arg;
	bool done;
};

static void
look_at(struct looking *l, const struct custody_item *item, struct arena *a)
{
	struct stored_mail m;
	struct stored_note n;
	must(stored_mail_unpack(item->envelope, a, &m) &&
		stored_note_unpack(item->note, &m, a, &n));
	l->fn(l->arg, &item->id, &m, &n);
}

static void
count(void *arg, const struct custody_id *id, const struct stored_mail *m,
	const struct stored_note *n)
{
	struct keeping_spool *s = arg;
	(void)id;
	if (m->kind == STORED_QUARANTINE) {
		s->quarantined++;
		s->undeliverable += slice_eq(m->quarantine, SLICE("undeliverable"));
		return;
	}
	s->held += m->kind == STORED_HOLD || n->held;
	if (m->notification) {
		s->notices++;
		return;
	}
	s->mails++;
	for (size_t i = 0; i < n->n_rcpts; i++) {
		s->waiting += n->rcpts[i].state == RCPT_WAITING;
		s->delivered += n->rcpts[i].state == RCPT_DELIVERED;
		s->failed += n->rcpts[i].state == RCPT_FAILED;
		s->told += n->rcpts[i].state == RCPT_TOLD;
		s->doubt += n->rcpts[i].state == RCPT_DOUBT;
	}
}

static void
on_scanned(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	struct looking *l = arg;
	must(r == CUSTODY_OK);
	struct arena *a = arena_new(256 * 1024 * 1024);
	for (size_t i = 0; i < n; i++)
		look_at(l, &items[i], a);
	arena_free(&a);
	l->done = end;
	if (end)
		loop_stop(l->k->loop);
	else
		custody_scan(l->custody, next, 1000, on_scanned, l);
}

void
keeping_look(struct keeping *k, struct keeping_spool *s_out)
{
	*s_out = (struct keeping_spool){0};
	keeping_each(k, count, s_out);
}

void
keeping_each(struct keeping *k, keeping_each_fn *fn, void *arg)
{
	struct err err;
	int dir = open(k->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct looking l = {.k = k, .fn = fn, .arg = arg};
	l.custody =
		segments_open(&(struct segments_config){.loop = k->loop, .dir_fd = dir}, &err);
	must(l.custody != NULL);
	custody_scan(l.custody, 0, 1000, on_scanned, &l);
	run_until(k, &l.done);
	custody_close(&l.custody);
	close(dir);
}
