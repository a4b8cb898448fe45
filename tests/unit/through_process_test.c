/*
 * postern-milter as posternd starts it, with this test as its parent, its session processes and
 * its MTAs: many sessions at once over the library's threads, each with its own answers; what
 * happens when a session process goes, comes back, or says what is no answer. The preset tsan
 * proves the threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/child.h"
#include "io/control.h"
#include "milter/messages.h"

enum { SESSIONS = 2, MTAS = 24, MAILS = 12, PACKET_MOST = 70000, LATE_S = 60 };

/* A session of an MTA as a session process has it. */
struct side {
	struct ipc *ipc;
	bool used;
	struct arena *arena;
	char sender[128], id[64], client[IP_TEXT_BYTES];
	size_t body, headers;
	uint32_t open_id; /* of the event whose answer waits */
	struct loop_timer later;
};

static struct {
	struct loop *loop;
	struct ipc *control, *channels[SESSIONS];
	pid_t pid;
	bool ready, gone;
	char dir[64], path[96];
	uint32_t wants_steps;
	unsigned opened, aborted;
	struct side sides[MTAS * 4];
	struct loop_timer late;
	atomic_uint clients_done;
	struct loop_timer poll;
	unsigned clients_wanted;
} t;

/* ---- the session processes ---- */

static void
side_send(struct side *s, enum milter_message type, uint32_t id, struct ipc_out *out)
{
	struct slice payload;
	assert_true(ipc_out_ok(out, &payload));
	(void)ipc_send(s->ipc, (uint16_t)type, id, payload);
	ipc_out_fini(out);
}

static void
side_answer(struct side *s, uint32_t id, const struct milter_answer *answer)
{
	struct ipc_out out;
	ipc_out_init(&out);
	milter_answer_pack(answer, &out);
	side_send(s, MILTER_MSG_ANSWER, id, &out);
}

static void
side_wants(struct side *s, uint32_t id)
{
	struct milter_wants w = {.can = MILTER_CAN_ADD_HEADERS | MILTER_CAN_CHANGE_HEADERS,
		.steps = t.wants_steps};
	struct ipc_out out;
	w.macros[MILTER_AT_MAIL] = SLICE("i {auth_authen}");
	ipc_out_init(&out);
	milter_wants_pack(&w, &out);
	side_send(s, MILTER_MSG_WANTS, id, &out);
}

/* The mail's own words come back, so that an answer that went astray is seen. */
static void
side_end(struct side *s, uint32_t id)
{
	char text[256];
	snprintf(text, sizeof(text), " %s %s %s %zu %zu", s->sender, s->id, s->client,
		s->headers, s->body);
	struct milter_edit edits[] = {
		{MILTER_EDIT_INSERT_HEADER, 0, SLICE("X-Seen"), slice_of(text)},
		{MILTER_EDIT_DELETE_HEADER, 2, SLICE("Subject"), SLICE_NONE}};
	struct milter_answer a = {.edits = edits, .n_edits = 2};
	if (strstr(s->sender, "<reject") == s->sender)
		a = (struct milter_answer){.verdict = MILTER_REPLY,
			.reply = smtp_reply_of("550 5.7.1 no, by 100%")};
	if (strstr(s->sender, "<lines") == s->sender) {
		a = (struct milter_answer){
			.verdict = MILTER_REPLY, .reply = smtp_reply_of("451 4.3.2 wait")};
		a.reply.text = SLICE("wait\nfor it");
	}
	if (strstr(s->sender, "<drop") == s->sender)
		a = (struct milter_answer){.verdict = MILTER_DISCARD};
	side_answer(s, id, &a);
	s->body = s->headers = 0;
}

static void
side_later(void *arg)
{
	struct side *s = arg;
	side_end(s, s->open_id);
}

static void
side_wait(struct side *s, uint32_t id)
{
	s->open_id = id;
	(void)ipc_send(s->ipc, MILTER_MSG_PROGRESS, id, SLICE_NONE);
	loop_timer_set(&s->later, 20);
}

static void
side_free(struct side *s)
{
	loop_timer_clear(&s->later);
	ipc_free(&s->ipc);
	arena_free(&s->arena);
	s->used = false;
}

static void
side_connect(struct side *s, const struct milter_event *ev)
{
	char text[IP_TEXT_BYTES];
	struct slice ip = ip_text(&ev->ip, text);
	snprintf(s->client, sizeof(s->client), "%.*s", SLICE_ARG(ip));
}

static void
side_mail(struct side *s, const struct milter_event *ev)
{
	assert_true(ev->n_args >= 1);
	snprintf(s->sender, sizeof(s->sender), "%.*s", SLICE_ARG(ev->args[0]));
	if (ev->n_macros != 2)
		return;
	assert_true(slice_eq(ev->macros[1].name, SLICE("auth_authen")));
	snprintf(s->id, sizeof(s->id), "%.*s", SLICE_ARG(ev->macros[0].value));
}

static void
side_end_by_sender(struct side *s, uint32_t id)
{
	const struct milter_answer go_on = {0};
	if (strstr(s->sender, "<late") == s->sender)
		side_wait(s, id);
	else if (strstr(s->sender, "<gone") == s->sender)
		side_free(s);
	else if (strstr(s->sender, "<nonsense") == s->sender)
		(void)ipc_send(s->ipc, MILTER_MSG_ANSWER, id, SLICE("\xff\xff"));
	else if (strstr(s->sender, "<other") == s->sender)
		side_answer(s, id + 1, &go_on);
	else
		side_end(s, id);
}

static void
side_event(struct side *s, uint32_t id, const struct milter_event *ev)
{
	const struct milter_answer go_on = {0};
	if (ev->type == MILTER_EV_NEGOTIATE)
		side_wants(s, id);
	else if (ev->type == MILTER_EV_ABORT)
		t.aborted++;
	else if (ev->type == MILTER_EV_END)
		side_end_by_sender(s, id);
	else {
		if (ev->type == MILTER_EV_CONNECT)
			side_connect(s, ev);
		else if (ev->type == MILTER_EV_MAIL)
			side_mail(s, ev);
		s->headers += ev->type == MILTER_EV_HEADER;
		s->body += ev->type == MILTER_EV_BODY ? ev->value.n : 0;
		side_answer(s, id, &go_on);
	}
}

static void
side_message(void *arg, struct ipc_msg *m)
{
	struct side *s = arg;
	struct milter_event ev;
	assert_int_equal(m->type, MILTER_MSG_EVENT);
	arena_reset(s->arena);
	assert_true(milter_event_unpack(m->payload, s->arena, &ev));
	side_event(s, m->id, &ev);
}

static void
side_gone(void *arg, const struct err *err)
{
	(void)err;
	side_free(arg);
}

static void
channel_message(void *arg, struct ipc_msg *m)
{
	static const struct ipc_calls calls = {
		.on_message = side_message, .on_gone = side_gone};
	size_t i = 0;
	(void)arg;
	assert_int_equal(m->type, MILTER_MSG_SESSION);
	int fd = ipc_take_fd(m, 0);
	assert_true(fd >= 0);
	while (i < MTAS * 4 && t.sides[i].used)
		i++;
	assert_true(i < MTAS * 4);
	struct side *s = &t.sides[i];
	*s = (struct side){.used = true, .arena = arena_new(1024 * 1024)};
	s->ipc = ipc_new(t.loop, fd, 1024 * 1024, &calls, s);
	loop_timer_init(&s->later, t.loop, side_later, s);
	t.opened++;
}

static void
channel_gone(void *arg, const struct err *err)
{
	struct ipc **channel = arg;
	(void)err;
	ipc_free(channel);
}

static void
open_channel(unsigned index)
{
	static const struct ipc_calls calls = {
		.on_message = channel_message, .on_gone = channel_gone};
	struct err err;
	int pair[2];
	assert_int_equal(ipc_pair(pair, &err), 0);
	assert_int_equal(control_send_peer(t.control, PROCESS_SESSION, index, pair[1]), 0);
	close(pair[1]);
	ipc_free(&t.channels[index]);
	t.channels[index] = ipc_new(t.loop, pair[0], 65536, &calls, &t.channels[index]);
}

/* ---- an MTA, in a thread of its own: blocking, byte by byte ---- */

struct mta {
	int fd, number;
	char packet[PACKET_MOST];
	size_t n;
	uint32_t steps;
	bool failed;
};

static void
mta_send(struct mta *m, char letter, const char *data, size_t n)
{
	char head[5];
	uint32_t length = htonl((uint32_t)n + 1);
	memcpy(head, &length, 4);
	head[4] = letter;
	m->failed = m->failed || send(m->fd, head, 5, MSG_NOSIGNAL) != 5 ||
		    (n != 0 && send(m->fd, data, n, MSG_NOSIGNAL) != (ssize_t)n);
}

static bool
mta_exactly(struct mta *m, char *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = read(m->fd, to + done, n - done);
		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

/* The letter of the next packet, its data in m->packet; 0: closed. */
static char
mta_read(struct mta *m)
{
	uint32_t length;
	if (!mta_exactly(m, (char *)&length, 4))
		return 0;
	length = ntohl(length);
	if (length < 1 || length >= PACKET_MOST || !mta_exactly(m, m->packet, length))
		return 0;
	m->n = length - 1;
	m->packet[length] = '\0';
	return m->packet[0];
}

static char
mta_step(struct mta *m, char letter, const char *data, size_t n, uint32_t unanswered)
{
	mta_send(m, letter, data, n);
	return (m->steps & unanswered) != 0 ? 'c' : mta_read(m);
}

static bool
mta_open(struct mta *m, uint32_t version, uint32_t can, uint32_t steps)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct timeval late = {.tv_sec = LATE_S};
	uint32_t offer[3] = {htonl(version), htonl(can), htonl(steps)};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", t.path);
	m->failed = false;
	m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(m->fd, SOL_SOCKET, SO_RCVTIMEO, &late, sizeof(late));
	if (connect(m->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return false;
	mta_send(m, 'O', (const char *)offer, sizeof(offer));
	if (mta_read(m) != 'O' || m->n < 12)
		return false;
	memcpy(&m->steps, m->packet + 1 + 8, 4);
	m->steps = ntohl(m->steps);
	return true;
}

/* A channel that was just sent may still be on its way: until then there is no milter, and an
 * MTA's client would try again. */
static bool
mta_open_soon(struct mta *m, uint32_t version, uint32_t can, uint32_t steps)
{
	for (int i = 0; i < 50; i++) {
		if (mta_open(m, version, can, steps))
			return true;
		close(m->fd);
		usleep(100 * 1000);
	}
	return mta_open(m, version, can, steps);
}

static char
mta_connect(struct mta *m)
{
	char data[96];
	int n = snprintf(data, sizeof(data), "client.example%c4%c%c192.0.2.%d", 0, 1, 2,
		m->number % 200 + 1);
	return mta_step(m, 'C', data, (size_t)n + 1, MILTER_NR_CONNECT);
}

/* Up to the answer at the mail's end; 0: something before it was wrong. */
static char
mta_mail(struct mta *m, const char *kind, int mail, size_t *progress_out)
{
	static const char body[] = "Hello,\r\n\r\nworld.\r\n";
	char data[256];
	char letter;
	int n = snprintf(data, sizeof(data), "Mi%cid-%d-%d%c{auth_authen}%cann", 0, m->number,
		mail, 0, 0);
	*progress_out = 0;
	mta_send(m, 'D', data, (size_t)n + 1);
	n = snprintf(data, sizeof(data), "<%s-%d-%d@sender.example>%cSIZE=100", kind, m->number,
		mail, 0);
	if (mta_step(m, 'M', data, (size_t)n + 1, MILTER_NR_MAIL) != 'c' ||
		mta_step(m, 'R', "<b@example.com>", 16, MILTER_NR_RCPT) != 'c' ||
		mta_step(m, 'T', NULL, 0, MILTER_NR_DATA) != 'c' ||
		mta_step(m, 'L', "Subject\0 one\n\ttwo", 18, MILTER_NR_HEADERS) != 'c' ||
		mta_step(m, 'L', "Subject\0 two", 13, MILTER_NR_HEADERS) != 'c' ||
		mta_step(m, 'N', NULL, 0, MILTER_NR_HEADER_END) != 'c' ||
		mta_step(m, 'B', body, sizeof(body) - 1, 0) != 'c' ||
		mta_step(m, 'B', body, sizeof(body) - 1, 0) != 'c')
		return 0;
	mta_send(m, 'E', NULL, 0);
	while ((letter = mta_read(m)) == 'p')
		(*progress_out)++;
	return letter;
}

/* A header with the mail's own words, then its second Subject gone, then "continue". */
static bool
edits_are_of(struct mta *m, const char *kind, int mail)
{
	char text[256];
	snprintf(text, sizeof(text), " <%s-%d-%d@sender.example> id-%d-%d 192.0.2.%d 2 36",
		kind, m->number, mail, m->number, mail, m->number % 200 + 1);
	const char *name = m->packet + 1 + 4;
	return strcmp(name, "X-Seen") == 0 && strcmp(name + 7, text) == 0 &&
	       mta_read(m) == 'm' && memcmp(m->packet + 1, "\0\0\0\2Subject\0\0", 13) == 0 &&
	       mta_read(m) == 'c';
}

static bool
mta_one_mail(struct mta *m, int mail)
{
	static const char *const kinds[] = {"plain", "reject", "late", "drop", "lines"};
	const char *kind = kinds[(m->number + mail) % 5];
	size_t progress;
	char letter = mta_mail(m, kind, mail, &progress);
	if (strcmp(kind, "reject") == 0)
		return letter == 'y' && strcmp(m->packet + 1, "550 5.7.1 no, by 100%%") == 0;
	if (strcmp(kind, "lines") == 0)
		return letter == 'y' && strcmp(m->packet + 1, "451-4.3.2 wait\r\n451 4.3.2 "
							      "for it") == 0;
	if (strcmp(kind, "drop") == 0)
		return letter == 'd';
	return (strcmp(kind, "late") == 0) == (progress == 1) && letter == 'i' &&
	       edits_are_of(m, kind, mail);
}

static void *
mta_main(void *arg)
{
	struct mta *m = arg;
	bool again = false;
	/* as Sendmail, and as an MTA of old */
	bool ok = m->number % 2 == 0 ? mta_open_soon(m, 6, 0x1ff, 0x1fffff)
				     : mta_open_soon(m, 2, 0x3f, 0x7f);
	ok = ok && mta_connect(m) == 'c' &&
	     mta_step(m, 'H', "client.example", 15, MILTER_NR_HELO) == 'c';
	for (int mail = 0; ok && mail < MAILS; mail++) {
		ok = mta_one_mail(m, mail);
		/* Another session over the same connection: the library hears of it only after
		 * a mail that went on. */
		if (ok && (m->number + mail) % 5 == 0 && !again) {
			again = true;
			mta_send(m, 'K', NULL, 0);
			ok = mta_connect(m) == 'c';
		}
	}
	if (ok)
		mta_send(m, 'Q', NULL, 0);
	close(m->fd);
	m->failed = m->failed || !ok;
	atomic_fetch_add(&t.clients_done, 1);
	return NULL;
}

/* ---- the parent ---- */

static void
on_late(void *arg)
{
	(void)arg;
	fail_msg("no end after %d seconds", LATE_S);
}

static void
on_poll(void *arg)
{
	(void)arg;
	if (atomic_load(&t.clients_done) >= t.clients_wanted)
		loop_stop(t.loop);
	else
		loop_timer_set(&t.poll, 5);
}

static void
serve(unsigned clients)
{
	struct err err;
	t.clients_wanted = clients;
	loop_timer_set(&t.late, LATE_S * 1000);
	loop_timer_set(&t.poll, 1);
	assert_int_equal(loop_run(t.loop, &err), 0);
	loop_timer_clear(&t.late);
	loop_timer_clear(&t.poll);
	atomic_store(&t.clients_done, 0);
}

static void
control_message(void *arg, struct ipc_msg *m)
{
	(void)arg;
	assert_int_equal(m->type, CONTROL_READY);
	t.ready = true;
	atomic_fetch_add(&t.clients_done, 1);
}

static void
control_gone(void *arg, const struct err *err)
{
	(void)arg;
	(void)err;
	t.gone = true;
	ipc_free(&t.control);
	atomic_fetch_add(&t.clients_done, 1);
}

static void
start_process(int fd)
{
	static char program[PATH_MAX];
	char number[16], connection[128];
	struct err err;
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);
	assert_true(n > 0);
	program[n] = '\0';
	snprintf(strrchr(program, '/'), 32, "/postern-milter");
	snprintf(number, sizeof(number), "%d", fd);
	snprintf(connection, sizeof(connection), "unix:%s", t.path);
	char name[] = "postern-milter", c[] = "-c", l[] = "-l";
	char *argv[] = {name, c, number, l, connection, NULL};
	struct child_spec spec = {
		.kind = "milter", .keep = &fd, .nkeep = 1, .path = program, .argv = argv};
	t.pid = child_fork(&spec, &err);
	assert_true(t.pid > 0);
}

static int
open_all(void **state)
{
	static const struct ipc_calls calls = {
		.on_message = control_message, .on_gone = control_gone};
	struct err err;
	int control[2];
	(void)state;
	memset(&t, 0, sizeof(t));
	t.wants_steps = MILTER_SKIP_BODY | MILTER_NR_HEADERS | MILTER_HEADER_SPACE;
	snprintf(t.dir, sizeof(t.dir), "/tmp/postern-through-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	snprintf(t.path, sizeof(t.path), "%s/socket", t.dir);
	t.loop = loop_new(&err);
	loop_timer_init(&t.late, t.loop, on_late, NULL);
	loop_timer_init(&t.poll, t.loop, on_poll, NULL);
	assert_int_equal(ipc_pair(control, &err), 0);
	start_process(control[1]);
	close(control[1]);
	t.control = ipc_new(t.loop, control[0], 65536, &calls, NULL);
	serve(1);
	assert_true(t.ready);
	for (unsigned i = 0; i < SESSIONS; i++)
		open_channel(i);
	return 0;
}

static int
close_all(void **state)
{
	char text[CHILD_STATUS_BYTES];
	int status;
	(void)state;
	assert_int_equal(control_send_stop(t.control), 0);
	serve(1);
	assert_true(t.gone);
	assert_int_equal(waitpid(t.pid, &status, 0), t.pid);
	if (status != 0)
		fail_msg("%s", child_status_text(status, text));
	for (unsigned i = 0; i < SESSIONS; i++)
		ipc_free(&t.channels[i]);
	for (size_t i = 0; i < MTAS * 4; i++)
		if (t.sides[i].used)
			side_free(&t.sides[i]);
	loop_free(&t.loop);
	unlink(t.path);
	rmdir(t.dir);
	return 0;
}

/* Runs fn in a thread beside the loop, which plays the session processes. */
static void
with_mta(void *(*fn)(void *), struct mta *m)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, fn, m), 0);
	serve(1);
	pthread_join(thread, NULL);
	assert_false(m->failed);
}

static void
many_sessions_at_once(void **state)
{
	static struct mta mtas[MTAS];
	pthread_t threads[MTAS];
	(void)state;
	for (int i = 0; i < MTAS; i++) {
		mtas[i].number = i;
		assert_int_equal(pthread_create(&threads[i], NULL, mta_main, &mtas[i]), 0);
	}
	serve(MTAS);
	for (int i = 0; i < MTAS; i++) {
		pthread_join(threads[i], NULL);
		if (mtas[i].failed)
			fail_msg("MTA %d", i);
	}
	assert_int_equal(t.opened, 2 * MTAS);
}

/* Whatever the session process does at the end of a mail, that mail is put off. */
static void *
mta_faults(void *arg)
{
	static const char *const kinds[] = {"gone", "nonsense", "other"};
	struct mta *m = arg;
	size_t progress;
	for (int i = 0; i < 3; i++) {
		bool ok = mta_open(m, 6, 0x1ff, 0x1fffff) && mta_connect(m) == 'c' &&
			  mta_mail(m, kinds[i], 0, &progress) == 't' &&
			  mta_mail(m, "plain", 1, &progress) == 0 && /* no more is told to it */
			  m->packet[0] == 't';
		m->failed = m->failed || !ok;
		close(m->fd);
	}
	/* the next one goes to a living one */
	m->failed = m->failed || !mta_open(m, 6, 0x1ff, 0x1fffff) || mta_connect(m) != 'c' ||
		    mta_mail(m, "plain", 0, &progress) != 'i' || !edits_are_of(m, "plain", 0);
	/* an abort is told, and the session goes on */
	m->failed =
		m->failed || mta_step(m, 'M', "<x@sender.example>", 19, MILTER_NR_MAIL) != 'c';
	mta_send(m, 'A', NULL, 0);
	m->failed = m->failed || mta_mail(m, "plain", 1, &progress) != 'i';
	close(m->fd);
	atomic_fetch_add(&t.clients_done, 1);
	return NULL;
}

static void
faults_of_a_session_process(void **state)
{
	static struct mta m = {.number = 3};
	(void)state;
	with_mta(mta_faults, &m);
}

/* No milter is what an MTA sees that finds no session process, or offers too little. */
static void *
mta_refused(void *arg)
{
	struct mta *m = arg;
	m->failed = mta_open(m, 6, 0x1ff, 0x1fffff);
	close(m->fd);
	atomic_fetch_add(&t.clients_done, 1);
	return NULL;
}

static void *
mta_too_little(void *arg)
{
	struct mta *m = arg;
	m->failed = mta_open(m, 6, MILTER_CAN_ADD_HEADERS, 0x1fffff);
	close(m->fd);
	m->failed = m->failed || mta_open(m, 1, 0x1ff, 0x1fffff);
	close(m->fd);
	m->failed = m->failed || !mta_open(m, 6, 0x1ff, 0x1fffff);
	close(m->fd);
	atomic_fetch_add(&t.clients_done, 1);
	return NULL;
}

static void
channels_come_and_go(void **state)
{
	static struct mta m = {.number = 4};
	(void)state;
	with_mta(mta_too_little, &m);
	ipc_free(&t.channels[0]);
	with_mta(mta_main, &m); /* the other one serves */
	ipc_free(&t.channels[1]);
	with_mta(mta_refused, &m);
	open_channel(1);
	with_mta(mta_main, &m);
	open_channel(0);
	open_channel(1);
	with_mta(mta_main, &m);
}

static void
no_signal_stops_it(void **state)
{
	static struct mta m = {.number = 5};
	struct stat st;
	(void)state;
	assert_int_equal(kill(t.pid, SIGHUP), 0);
	assert_int_equal(kill(t.pid, SIGINT), 0);
	with_mta(mta_main, &m);
	assert_int_equal(stat(t.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_false(t.gone);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_sessions_at_once, open_all, close_all),
		cmocka_unit_test_setup_teardown(
			faults_of_a_session_process, open_all, close_all),
		cmocka_unit_test_setup_teardown(channels_come_and_go, open_all, close_all),
		cmocka_unit_test_setup_teardown(no_signal_stops_it, open_all, close_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
