/*
 * Mails, results, questions and their answers as a broken process might send them. What is
 * taken must be fit for use: packed again it fits and is read as the same, and nothing in it
 * could end a line of a command.
 */
#include <stdint.h>

#include "base/must.h"
#include "delivery/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_route(struct slice text, struct arena *a)
{
	struct hop_list list;
	struct err err;
	if (conf_hops_parse(text, a, &list, &err) < 0)
		return;
	must(list.n > 0);
	for (size_t i = 0; i < list.n; i++)
		must(list.hops[i].kind != HOP_BALANCED ? list.hops[i].host.n > 0
						       : list.hops[i].n_items > 0);
}

static void
check_mail(struct slice payload, struct arena *a)
{
	struct delivery_mail m;
	if (!delivery_mail_unpack(payload, 0, a, &m))
		return;
	must(m.n_rcpts > 0 && m.body.n > 0 && !slice_has(m.sender.raw, '\n'));
	for (size_t i = 0; i < m.n_rcpts; i++)
		must(!slice_has(m.rcpts[i].address.raw, '\r') && m.rcpts[i].address.raw.n > 0);
	struct ipc_out out;
	int fd;
	must((m.way == DELIVERY_BY_ROUTE) == (m.route.n > 0) && !slice_has(m.route, '\0'));
	if (m.way == DELIVERY_BY_ROUTE)
		check_route(m.route, a);
	ipc_out_init(&out);
	must(delivery_mail_pack(&m, &out, &fd) == 0);
	ipc_out_fini(&out);
}

static void
check_result(struct slice payload, struct arena *a)
{
	struct delivery_result r;
	struct buf line;
	if (!delivery_result_unpack(payload, a, &r))
		return;
	buf_init(&line, 64 * 1024);
	must(smtp_reply_write(&r.reply, &line) == 0);
	must(r.at < FAILURE_PHASES && !slice_has(r.banner, '\n'));
	buf_fini(&line);
}

static void
check_question(struct slice payload, struct arena *a)
{
	struct delivery_rcpt_question q;
	struct ipc_out out;
	struct slice again;
	if (!delivery_rcpt_question_unpack(payload, a, &q))
		return;
	must(q.rcpt.raw.n > 0 && !slice_has(q.rcpt.raw, '\r') &&
		!slice_has(q.sender.raw, '\n'));
	ipc_out_init(&out);
	delivery_rcpt_question_pack(&q, &out);
	must(ipc_out_ok(&out, &again) && slice_eq(again, payload));
	ipc_out_fini(&out);
}

static void
check_answer(struct slice payload, struct arena *a)
{
	struct smtp_reply r;
	struct buf line;
	if (!delivery_rcpt_answer_unpack(payload, a, &r) || r.code == 0)
		return;
	buf_init(&line, 64 * 1024);
	must(smtp_reply_write(&r, &line) == 0);
	buf_fini(&line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > IPC_PAYLOAD_BYTES)
		return 0;
	struct slice payload = {(const char *)data + 1, size - 1};
	struct arena *a = arena_new((size_t)32 * 1024 * 1024);
	switch (data[0] % 4) {
	case 0: check_mail(payload, a); break;
	case 1: check_result(payload, a); break;
	case 2: check_question(payload, a); break;
	default: check_answer(payload, a); break;
	}
	arena_free(&a);
	return 0;
}
