/*
 * The parent's word to its processes, and processes that serve others; see control.h. What
 * arrives here is a channel to somebody, or that it is time to stop.
 */
#include "io/control.h"

#include <sys/queue.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"

enum { CONTROL_QUEUE_BYTES = 64 * 1024, CLIENT_QUEUE_BYTES = 4 * 1024 * 1024 };

struct control {
	struct loop *loop;
	struct ipc *ipc;
	const struct control_calls *calls;
	void *arg;
};

const char *
process_kind_text(enum process_kind k)
{
	static const char *const text[PROCESS_KINDS] = {"session", "delivery", "scanner",
		"signer", "auth", "engine", "milter", "keeper", "directory"};
	return text[k];
}

static void
control_message(void *arg, struct ipc_msg *m)
{
	struct control *c = arg;
	struct ipc_in in;
	ipc_in_init(&in, m->payload);
	if (m->type == CONTROL_STOP) {
		c->calls->on_stop(c->arg);
		return;
	}
	if (m->type == CONTROL_SETTINGS) {
		int settings = ipc_take_fd(m, 0);
		must(settings >= 0 && c->calls->on_settings != NULL);
		c->calls->on_settings(c->arg, settings);
		return;
	}
	must(m->type == CONTROL_PEER); /* the parent is ours */
	enum process_kind kind = (enum process_kind)ipc_get_enum(&in, PROCESS_KINDS);
	unsigned index = ipc_get_u8(&in);
	int fd = ipc_take_fd(m, 0);
	must(ipc_in_done(&in) && fd >= 0);
	c->calls->on_peer(c->arg, kind, index, fd);
}

static void
control_gone(void *arg, const struct err *err)
{
	struct control *c = arg;
	(void)err;
	loop_stop(c->loop);
}

struct control *
control_new(struct loop *l, int fd, const struct control_calls *calls, void *arg)
{
	static const struct ipc_calls ipc_calls = {
		.on_message = control_message, .on_gone = control_gone};
	struct control *c = MEM_NEW(struct control);
	*c = (struct control){.loop = l, .calls = calls, .arg = arg};
	c->ipc = ipc_new(l, fd, CONTROL_QUEUE_BYTES, &ipc_calls, c);
	return c;
}

void
control_free(struct control **c)
{
	if (*c == NULL)
		return;
	ipc_free(&(*c)->ipc);
	mem_free(*c);
	*c = NULL;
}

void
control_ready(struct control *c)
{
	(void)ipc_send(
		c->ipc, CONTROL_READY, 0, SLICE_NONE); /* the first message: there is room */
}

int
control_send_peer(struct ipc *to, enum process_kind kind, unsigned index, int fd)
{
	const char payload[2] = {(char)kind, (char)index};
	return ipc_send_fds(to, CONTROL_PEER, 0, (struct slice){payload, 2}, &fd, 1);
}

int
control_send_settings(struct ipc *to, int fd)
{
	return ipc_send_fds(to, CONTROL_SETTINGS, 0, SLICE_NONE, &fd, 1);
}

int
control_send_stop(struct ipc *to)
{
	return ipc_send(to, CONTROL_STOP, 0, SLICE_NONE);
}

struct service_client {
	LIST_ENTRY(service_client) link;
	struct service *service;
	struct ipc *ipc;
};

struct service {
	struct loop *loop;
	struct control *control;
	service_fn *fn;
	service_gone_fn *gone;
	service_peer_fn *peer;
	service_settings_fn *settings;
	void *arg;
	LIST_HEAD(, service_client) clients;
};

static void
client_message(void *arg, struct ipc_msg *m)
{
	struct service_client *c = arg;
	c->service->fn(c->service->arg, c, m);
}

static void
client_free(struct service_client *c)
{
	if (c->service->gone != NULL)
		c->service->gone(c->service->arg, c);
	LIST_REMOVE(c, link);
	ipc_free(&c->ipc);
	mem_free(c);
}

static void
client_gone(void *arg, const struct err *err)
{
	(void)err; /* a session process ended: the parent tells of it */
	client_free(arg);
}

static void
service_peer(void *arg, enum process_kind kind, unsigned index, int fd)
{
	static const struct ipc_calls calls = {
		.on_message = client_message, .on_gone = client_gone};
	struct service *s = arg;
	if (s->peer != NULL && s->peer(s->arg, kind, index, fd))
		return;
	struct service_client *c = MEM_NEW(struct service_client);
	c->service = s;
	c->ipc = ipc_new(s->loop, fd, CLIENT_QUEUE_BYTES, &calls, c);
	LIST_INSERT_HEAD(&s->clients, c, link);
}

static void
service_settings(void *arg, int fd)
{
	struct service *s = arg;
	if (s->settings != NULL)
		s->settings(s->arg, fd);
	else
		close(fd);
}

static void
service_stop(void *arg)
{
	struct service *s = arg;
	loop_stop(s->loop);
}

struct service *
service_new(struct loop *l, int control_fd, service_fn *fn, service_gone_fn *gone, void *arg)
{
	static const struct control_calls calls = {.on_peer = service_peer,
		.on_stop = service_stop,
		.on_settings = service_settings};
	struct service *s = MEM_NEW(struct service);
	*s = (struct service){.loop = l, .fn = fn, .gone = gone, .arg = arg};
	LIST_INIT(&s->clients);
	s->control = control_new(l, control_fd, &calls, s);
	return s;
}

void
service_free(struct service **s)
{
	if (*s == NULL)
		return;
	struct service_client *c;
	while ((c = LIST_FIRST(&(*s)->clients)) != NULL)
		client_free(c);
	control_free(&(*s)->control);
	mem_free(*s);
	*s = NULL;
}

void
service_on_peer(struct service *s, service_peer_fn *fn)
{
	s->peer = fn;
}

void
service_on_settings(struct service *s, service_settings_fn *fn)
{
	s->settings = fn;
}

void
service_ready(struct service *s)
{
	control_ready(s->control);
}

int
service_answer(struct service_client *c, uint16_t type, uint32_t id, struct slice payload)
{
	return ipc_send(c->ipc, type, id, payload);
}
