/* One process that serves, and this test around it; see serving.h. */
#include "serving.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "io/control.h"

enum { WAIT_MS = 10 * 1000, CONTROL_BYTES = 64 * 1024 };

static void
on_late(void *arg)
{
	struct serving *s = arg;
	s->timed_out = true;
	loop_stop(s->loop);
}

void
serving_run_for(struct serving *s, uint32_t ms)
{
	struct err err;
	loop_timer_set(&s->late, ms);
	must(loop_run(s->loop, &err) == 0);
	loop_timer_clear(&s->late);
}

static void
run(struct serving *s)
{
	s->timed_out = false;
	serving_run_for(s, WAIT_MS);
	must(!s->timed_out);
}

static void
on_control(void *arg, struct ipc_msg *m)
{
	struct serving *s = arg;
	must(m->type == CONTROL_READY);
	s->ready = true;
	loop_stop(s->loop);
}

static void
on_control_gone(void *arg, const struct err *err)
{
	struct serving *s = arg;
	(void)err;
	s->gone = true;
	loop_stop(s->loop);
}

/* The descriptor that the process inherits. */
int
serving_prepare(struct serving *s)
{
	static const struct ipc_calls calls = {
		.on_message = on_control, .on_gone = on_control_gone};
	struct err err;
	int fds[2];
	memset(s, 0, sizeof(*s));
	s->loop = loop_new(&err);
	must(s->loop != NULL && ipc_pair(fds, &err) == 0);
	loop_timer_init(&s->late, s->loop, on_late, s);
	s->control = ipc_new(s->loop, fds[0], CONTROL_BYTES, &calls, s);
	s->peer = peer_new(s->loop, "serving", SERVING_ANSWERS_MOST);
	return fds[1];
}

void
serving_start(struct serving *s, struct child_spec *spec, int control_fd)
{
	struct err err;
	int fds[2];
	spec->keep = &control_fd;
	spec->nkeep = 1;
	s->pid = child_fork(spec, &err);
	must(s->pid > 0);
	close(control_fd);
	run(s);
	must(s->ready && !s->gone);
	must(ipc_pair(fds, &err) == 0);
	must(control_send_peer(s->control, PROCESS_SESSION, 0, fds[1]) == 0);
	close(fds[1]);
	peer_attach(s->peer, fds[0]);
}

static void
on_answer(void *arg, struct ipc_msg *m)
{
	struct serving_answer *a = arg;
	struct serving *s = a->serving;
	a->here = true;
	a->lost = m == NULL;
	if (m != NULL) {
		a->type = m->type;
		must(buf_add(&a->payload, m->payload) == 0);
	}
	if (++s->answered == s->asked)
		loop_stop(s->loop);
}

unsigned
serving_ask(struct serving *s, uint16_t type, struct slice payload, int fd)
{
	must(s->asked < SERVING_ANSWERS_MOST);
	struct serving_answer *a = &s->answers[s->asked];
	*a = (struct serving_answer){.serving = s};
	buf_init(&a->payload, IPC_PAYLOAD_BYTES);
	must(peer_ask(s->peer, type, payload, &fd, fd >= 0 ? 1 : 0, 2 * WAIT_MS, on_answer,
		     a) != 0);
	return s->asked++;
}

void
serving_wait(struct serving *s)
{
	if (s->answered < s->asked)
		run(s);
}

void
serving_clear(struct serving *s)
{
	must(s->answered == s->asked);
	for (unsigned i = 0; i < s->asked; i++)
		buf_fini(&s->answers[i].payload);
	s->asked = s->answered = 0;
}

const struct serving_answer *
serving_ask_and_wait(struct serving *s, uint16_t type, struct slice payload, int fd)
{
	unsigned at = serving_ask(s, type, payload, fd);
	serving_wait(s);
	return &s->answers[at];
}

void
serving_stop(struct serving *s)
{
	int status;
	pid_t pid;
	serving_clear(s);
	must(control_send_stop(s->control) == 0);
	while (!s->gone)
		run(s);
	do
		pid = waitpid(s->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	must(pid == s->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	peer_free(&s->peer);
	ipc_free(&s->control);
	loop_timer_clear(&s->late);
	loop_free(&s->loop);
}
