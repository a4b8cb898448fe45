/*
 * One process of the second engines, asked one thing after another; see runner.h. We play the
 * parent and the session at once: `postern explain` has no other process.
 */
#include "main/runner.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/child.h"
#include "io/control.h"
#include "io/peer.h"
#include "second/messages.h"

enum { RUN_MS = 30 * 1000, CONTROL_BYTES = 4096 };

struct runner {
	struct loop *loop;
	struct ipc *control;
	struct peer *peer;
	struct arena *arena; /* of the run at hand */
	struct slice output;
	bool started;
};

static void
on_control(void *arg, struct ipc_msg *m)
{
	(void)arg, (void)m; /* READY; we need not wait for it */
}

static void
on_control_gone(void *arg, const struct err *err)
{
	struct runner *r = arg;
	(void)err; /* the question that is open hears of it too */
	ipc_free(&r->control);
}

/* -1: it cannot be started. */
static int
start_process(struct runner *r, int control)
{
	char path[PATH_MAX], fd[16], name[] = "postern-engine", c[] = "-c";
	char *argv[] = {name, c, fd, NULL};
	struct err err;
	struct child_spec spec = {
		.kind = "engine", .path = path, .argv = argv, .keep = &control, .nkeep = 1};
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(name) - 1);
	if (n <= 0)
		return -1;
	path[n] = '\0';
	snprintf(strrchr(path, '/'), sizeof(name) + 1, "/%s", name);
	snprintf(fd, sizeof(fd), "%d", control);
	int pair[2];
	if (ipc_pair(pair, &err) < 0)
		return -1;
	int result = child_fork(&spec, &err) > 0 && control_send_peer(r->control,
							    PROCESS_SESSION, 0, pair[1]) == 0
			     ? 0
			     : -1;
	close(pair[1]);
	if (result == 0)
		peer_attach(r->peer, pair[0]);
	else
		close(pair[0]);
	return result;
}

static void
start(struct runner *r)
{
	static const struct ipc_calls calls = {
		.on_message = on_control, .on_gone = on_control_gone};
	struct err err;
	int control[2];
	r->started = true;
	r->loop = loop_new(&err);
	if (r->loop == NULL || ipc_pair(control, &err) < 0)
		return;
	r->control = ipc_new(r->loop, control[0], CONTROL_BYTES, &calls, r);
	r->peer = peer_new(r->loop, "engine", 1);
	if (start_process(r, control[1]) < 0)
		peer_free(&r->peer);
	close(control[1]);
}

struct runner *
runner_new(void)
{
	return MEM_NEW(struct runner);
}

void
runner_free(struct runner **r)
{
	if (*r == NULL)
		return;
	peer_free(&(*r)->peer);
	ipc_free(&(*r)->control); /* it ends when this closes */
	if ((*r)->started)
		child_wait_all();
	loop_free(&(*r)->loop);
	mem_free(*r);
	*r = NULL;
}

static void
on_output(void *arg, struct ipc_msg *m)
{
	struct runner *r = arg;
	struct slice output;
	if (m != NULL && m->type == SECOND_MSG_OUTPUT &&
		second_output_unpack(m->payload, &output))
		r->output = arena_slice(r->arena, output);
	loop_stop(r->loop);
}

/* A mail that no message holds: in memory, as a file. */
static int
as_file(struct slice mail)
{
	int fd = memfd_create("mail", MFD_CLOEXEC);
	for (size_t done = 0; fd >= 0 && done < mail.n;) {
		ssize_t n = write(fd, mail.p + done, mail.n - done);
		if (n <= 0) {
			close(fd);
			return -1;
		}
		done += (size_t)n;
	}
	return fd;
}

struct slice
runner_run(struct runner *r, struct slice engine, struct slice input, struct slice mail,
	struct arena *a)
{
	struct second_job job = {.input = input};
	struct ipc_out out;
	struct slice payload;
	struct err err;
	int fd = -1;
	if (!r->started)
		start(r);
	if (r->peer == NULL || !second_engine_find(engine, &job.engine))
		return SLICE_NONE;
	if (job.engine == SECOND_OPENDKIM) {
		job.bytes = mail.n;
		if (mail.n <= SECOND_INLINE_BYTES)
			job.body = mail;
		else if ((fd = as_file(mail)) < 0)
			return SLICE_NONE;
	}
	r->arena = a;
	r->output = SLICE_NONE;
	ipc_out_init(&out);
	second_job_pack(&job, &out);
	if (ipc_out_ok(&out, &payload) && peer_ask(r->peer, SECOND_MSG_RUN, payload, &fd,
						  fd >= 0 ? 1 : 0, RUN_MS, on_output, r) != 0)
		(void)loop_run(r->loop, &err);
	ipc_out_fini(&out);
	if (fd >= 0)
		close(fd);
	return r->output;
}
