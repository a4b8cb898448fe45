/*
 * The second driver: the client speaks to an MTA (mta.h), which tells the milter, by the bytes
 * of the protocol, to our engine (milter/server.h) and the milter's gate above it; see play.h.
 * In the run byte by byte these bytes go one by one too, both ways.
 */
#include <stdio.h>

#include "milter/server.h"
#include "play.h"
#include "session/milter_gate.h"

struct by_milter {
	struct milter_gate_config config;
	struct conf_listener
		listener; /* as the milter of the MTA that the play's listener is */
	struct ip_net everywhere[2];
	struct mta *mta;
	struct milter_server *server;
	struct milter_gate *gate;
	bool at_end; /* the answer to END is owed */
};

/* --- the listener */

/*
 * What an MTA's milter would be configured as: the play's block judges all its mail. A listener
 * that is a milter already stays as it is.
 */
static void
make_listener(struct play *p, struct by_milter *b)
{
	const struct conf_listener *l = p->config.listener;
	b->listener = *l;
	if (l->kind == LISTEN_MILTER)
		return;
	b->listener.kind = LISTEN_MILTER;
	if (l->kind == LISTEN_OUTBOUND) {
		(void)ip_net_parse(SLICE("0.0.0.0/0"), &b->everywhere[0]);
		(void)ip_net_parse(SLICE("::/0"), &b->everywhere[1]);
		b->listener.outbound_from = b->everywhere;
		b->listener.n_outbound_from = 2;
	}
}

static void
make_config(struct play *p, struct by_milter *b)
{
	struct conf_report report;
	conf_report_init(&report);
	make_listener(p, b);
	b->config.listener = &b->listener;
	for (int d = INBOUND; d <= OUTBOUND; d++) {
		const struct rule_block *block =
			d == INBOUND ? &p->conf->inbound : &p->conf->outbound;
		b->config.side[d] = p->config;
		b->config.side[d].listener = &b->listener;
		b->config.side[d].direction = (enum direction)d;
		b->config.side[d].policy = NULL;
		if (block->n_rules != 0)
			b->config.side[d].policy = policy_compile(
				p->conf, (enum direction)d, facts_all(), p->arena, &report);
	}
	if (report.n_errors != 0)
		play_fail(p, "%.*s", SLICE_ARG(conf_report_text(&report, p->arena)));
	conf_report_fini(&report);
}

/* --- bytes and events, until nobody has anything to say */

static struct slice
piece_of(const struct play *p, struct slice bytes)
{
	return slice_first(bytes, p->by_byte ? 1 : bytes.n);
}

static bool
move_bytes(struct play *p, struct by_milter *b)
{
	struct slice in = piece_of(p, mta_milter_output(b->mta)), out;
	size_t n = milter_server_feed(b->server, in);
	mta_milter_written(b->mta, n);
	out = piece_of(p, milter_server_output(b->server));
	if (out.n != 0) {
		mta_milter_feed(b->mta, arena_slice(p->arena, out));
		milter_server_written(b->server, out.n);
	}
	return n != 0 || out.n != 0;
}

static void
negotiate(struct play *p, struct by_milter *b)
{
	struct milter_wants wants;
	struct milter_offer agreed;
	milter_gate_wants_of(&b->config, &wants);
	if (milter_server_negotiate(b->server, &wants, &agreed))
		milter_gate_agreed(b->gate, &agreed);
	else
		play_fail(p, "the MTA cannot do what the rules need");
}

static bool
take_event(struct play *p, struct by_milter *b)
{
	struct milter_event ev;
	if (!milter_server_event(b->server, &ev))
		return false;
	if (ev.type == MILTER_EV_NEGOTIATE)
		negotiate(p, b);
	else if (ev.type == MILTER_EV_BAD)
		play_fail(p, "the MTA is misread: %s", ev.why);
	else if (ev.type != MILTER_EV_QUIT)
		milter_gate_event(b->gate, &ev);
	b->at_end = ev.type == MILTER_EV_END;
	return true;
}

static bool
give_answer(struct play *p, struct by_milter *b)
{
	struct milter_answer answer;
	struct slice signatures[SIGN_MOST];
	struct questions *scope;
	struct question *q;
	while (!p->failed && (q = milter_gate_question(b->gate, &scope)) != NULL)
		play_ask(p, q, scope);
	if (milter_gate_wants_signatures(b->gate)) {
		size_t n;
		const struct sign_request *requests = milter_gate_signs(b->gate, &n);
		bool can = play_sign(p, requests, n, signatures);
		milter_gate_signed(b->gate, can ? signatures : NULL);
	}
	if (!milter_gate_answer(b->gate, &answer))
		return false;
	milter_server_answer(b->server, &answer);
	milter_gate_settled(b->gate);
	return true;
}

static void
take_output(struct play *p, struct by_milter *b)
{
	struct slice out;
	while ((out = mta_output(b->mta)).n != 0) {
		play_output(p, out);
		mta_written(b->mta, out.n);
	}
	p->closed = mta_closes(b->mta);
}

static void
service(struct play *p, struct by_milter *b)
{
	bool moved;
	do {
		moved = move_bytes(p, b);
		moved = take_event(p, b) || moved;
		moved = give_answer(p, b) || moved;
		take_output(p, b);
	} while (!p->failed && moved);
	if (mta_wrong(b->mta).n != 0)
		play_fail(p, "%.*s", SLICE_ARG(mta_wrong(b->mta)));
}

/* --- the driver */

static void
disconnect(struct by_milter *b)
{
	milter_gate_free(&b->gate);
	milter_server_free(&b->server);
	mta_free(&b->mta);
}

static void
connect_milter(struct play *p, struct by_milter *b, const char *id)
{
	const struct mta_config config = {.conf = p->conf,
		.listener = p->config.listener,
		.password = &p->password,
		.habits = &p->habits,
		.hop = &p->hop,
		.arena = p->arena};
	p->habits.counts_deleted = p->by_byte;
	if (p->by_byte)
		p->habits.body_bytes = 5;
	b->mta = mta_new(&config);
	b->server = milter_server_new();
	b->gate = milter_gate_new(&b->config, id, play_wall_ms(p));
}

static void
begin(struct play *p, const struct ip *client)
{
	struct by_milter *b = p->state;
	char id[16];
	snprintf(id, sizeof(id), "play%d", p->sessions);
	if (b == NULL) {
		b = p->state = ARENA_NEW(p->arena, struct by_milter);
		make_config(p, b);
	}
	if (p->failed)
		return;
	if (b->mta == NULL)
		connect_milter(p, b, id);
	mta_client_begin(b->mta, client, id, play_wall_ms(p));
	service(p, b);
}

static void
end(struct play *p)
{
	struct by_milter *b = p->state;
	if (b->mta == NULL)
		return;
	bool keeps = mta_client_end(b->mta);
	if (!milter_server_owes(b->server)) /* else it is cut off where it stands */
		service(p, b);
	if (!keeps)
		disconnect(b);
}

static void
over(struct play *p)
{
	struct by_milter *b = p->state;
	if (b != NULL)
		disconnect(b);
	if (p->habits.gives_up_at.n != 0)
		play_fail(p, "the MTA never came to where it gives up");
}

static size_t
feed(struct play *p, struct slice in)
{
	struct by_milter *b = p->state;
	size_t n = mta_feed(b->mta, in);
	service(p, b);
	return n;
}

static uint64_t
next(const struct play *p)
{
	(void)p; /* the MTA's queue takes no time */
	return UINT64_MAX;
}

static void
step(struct play *p, bool answers)
{
	struct by_milter *b = p->state;
	mta_clock(b->mta, play_wall_ms(p));
	milter_gate_clock(b->gate, play_wall_ms(p));
	if (answers)
		milter_gate_answered(b->gate);
	if (b->at_end && milter_server_owes(b->server))
		milter_server_progress(b->server);
	service(p, b);
}

const struct driver driver_milter = {"milter", begin, end, over, feed, next, step};
