/*
 * Operations and answers as bytes between a process that asks of the state and the keeper; see
 * messages.h. An operation carries the fields of its kind alone: what a session asks for each
 * mail is a few dozen bytes. What is unpacked has been looked at by state_op_ok, so that an
 * engine never meets a number that cannot be.
 *
 * Room, so that STATE_OPS_MOST of the largest fit into one message: a key, a passer or a value
 * with their lengths, and at most five numbers of eight bytes.
 */
#include "state/messages.h"

#include "base/must.h"

enum {
	CHAINED = 0x80, /* beside the space */
	OP_MOST = 2 + 3 * 4 + 2 * STATE_KEY_MOST + STATE_VALUE_MOST + 5 * 8,
	ANSWER_MOST = 2 + 3 * 8 + 4 + STATE_VALUE_MOST,
	OP_LEAST = 2 + 4 + 1, /* kind, space, a key of one byte */
	ANSWER_LEAST = 2 + 3 * 8 + 4,
};
_Static_assert(4 + STATE_OPS_MOST * OP_MOST <= IPC_PAYLOAD_BYTES, "operations fit always");
_Static_assert(4 + STATE_OPS_MOST * ANSWER_MOST <= IPC_PAYLOAD_BYTES, "answers fit always");

/* ---- operations ---- */

static void
put_op(struct ipc_out *o, const struct state_op *op)
{
	must(op->key.n <= STATE_KEY_MOST && op->passer.n <= STATE_KEY_MOST &&
		op->value.n <= STATE_VALUE_MOST);
	ipc_put_u8(o, (uint8_t)op->kind);
	ipc_put_u8(o, (uint8_t)((unsigned)op->space | (op->chained ? CHAINED : 0)));
	ipc_put_slice(o, op->key);
	switch (op->kind) {
	case STATE_SET:
		ipc_put_slice(o, op->value);
		ipc_put_u64(o, op->ttl_ms);
		break;
	case STATE_TAKE:
	case STATE_COUNT:
	case STATE_GIVE:
		ipc_put_u32(o, (uint32_t)op->limit);
		ipc_put_u32(o, (uint32_t)op->n);
		if (op->space == STATE_RATE)
			ipc_put_u64(o, op->span_ms);
		else
			ipc_put_u8(o, (uint8_t)op->period);
		if (op->kind == STATE_GIVE)
			ipc_put_u64(o, op->taken_ms);
		break;
	case STATE_SEEN:
	case STATE_PASS:
		ipc_put_slice(o, op->passer);
		ipc_put_u64(o, op->ttl_ms);
		if (op->kind == STATE_PASS)
			break;
		ipc_put_u64(o, op->passes);
		ipc_put_u64(o, op->delay_ms);
		ipc_put_u64(o, op->within_ms);
		break;
	case STATE_GET:
	case STATE_DROP:
	case STATE_KINDS: break;
	}
}

void
state_ops_pack(const struct state_op *ops, size_t n, struct ipc_out *out)
{
	must(n > 0 && n <= STATE_OPS_MOST);
	ipc_put_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		must(state_op_ok(&ops[i]));
		put_op(out, &ops[i]);
	}
}

/* False: not an operation. */
static bool
get_op(struct ipc_in *in, struct state_op *op)
{
	*op = (struct state_op){.kind = (enum state_kind)ipc_get_enum(in, STATE_KINDS)};
	unsigned space = ipc_get_u8(in);
	op->chained = (space & CHAINED) != 0;
	op->space = (enum state_space)(space & ~(unsigned)CHAINED); /* state_op_ok */
	op->key = ipc_get_slice(in);
	switch (op->kind) {
	case STATE_SET:
		op->value = ipc_get_slice(in);
		op->ttl_ms = ipc_get_u64(in);
		break;
	case STATE_TAKE:
	case STATE_COUNT:
	case STATE_GIVE:
		op->limit = ipc_get_u32(in);
		op->n = ipc_get_u32(in);
		if (op->space == STATE_RATE)
			op->span_ms = ipc_get_u64(in);
		else
			op->period = (enum state_period)ipc_get_enum(in, PERIODS);
		if (op->kind == STATE_GIVE)
			op->taken_ms = ipc_get_u64(in);
		break;
	case STATE_SEEN:
	case STATE_PASS:
		op->passer = ipc_get_slice(in);
		op->ttl_ms = ipc_get_u64(in);
		if (op->kind == STATE_PASS)
			break;
		op->passes = ipc_get_u64(in);
		op->delay_ms = ipc_get_u64(in);
		op->within_ms = ipc_get_u64(in);
		break;
	case STATE_GET:
	case STATE_DROP:
	case STATE_KINDS: break;
	}
	return !in->bad && state_op_ok(op);
}

bool
state_ops_unpack(struct slice payload, struct state_op ops_out[STATE_OPS_MOST], size_t *n_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*n_out = 0;
	uint32_t n = ipc_get_count(&in, STATE_OPS_MOST, OP_LEAST);
	for (uint32_t i = 0; i < n; i++)
		if (!get_op(&in, &ops_out[i]))
			return false;
	if (n == 0 || !ipc_in_done(&in))
		return false;
	*n_out = n;
	return true;
}

/* ---- answers ---- */

void
state_answers_pack(const struct state_answer *answers, size_t n, struct ipc_out *out)
{
	must(n > 0 && n <= STATE_OPS_MOST);
	ipc_put_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		struct state_answer nothing = {.status = answers[i].status};
		const struct state_answer *a =
			answers[i].status == STATE_OK ? &answers[i] : &nothing;
		must(a->value.n <= STATE_VALUE_MOST);
		ipc_put_u8(out, (uint8_t)a->status);
		ipc_put_bool(out, a->yes);
		ipc_put_u64(out, a->wait_ms);
		ipc_put_u64(out, a->count);
		ipc_put_u64(out, a->at_ms);
		ipc_put_slice(out, a->value);
	}
}

/* What failed says nothing else: state_answers_pack. */
static bool
get_answer(struct ipc_in *in, struct state_answer *a)
{
	*a = (struct state_answer){
		.status = (enum state_status)ipc_get_enum(in, STATE_SKIPPED + 1)};
	a->yes = ipc_get_bool(in);
	a->wait_ms = ipc_get_u64(in);
	a->count = ipc_get_u64(in);
	a->at_ms = ipc_get_u64(in);
	a->value = ipc_get_slice(in);
	if (in->bad || a->value.n > STATE_VALUE_MOST)
		return false;
	return a->status == STATE_OK || (!a->yes && a->wait_ms == 0 && a->count == 0 &&
						a->at_ms == 0 && a->value.n == 0);
}

bool
state_answers_unpack(
	struct slice payload, struct state_answer answers_out[STATE_OPS_MOST], size_t *n_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*n_out = 0;
	uint32_t n = ipc_get_count(&in, STATE_OPS_MOST, ANSWER_LEAST);
	for (uint32_t i = 0; i < n; i++)
		if (!get_answer(&in, &answers_out[i]))
			return false;
	if (n == 0 || !ipc_in_done(&in))
		return false;
	*n_out = n;
	return true;
}
