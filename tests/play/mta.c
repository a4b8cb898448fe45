/*
 * The MTA of the plays: what its milter is told and says, and what becomes of it; see mta.h.
 * What the client says is in mta_client.c, the end of the data in mta_text.c.
 */
#include "mta.h"

#include <stdio.h>

#include "base/mem.h"
#include "mta_priv.h"

/* --- to the milter */

void
mta_tell(struct mta *m, char command, struct slice data)
{
	char id[2 * MTA_ID_BYTES];
	snprintf(id, sizeof(id), "%s.%u", m->id, m->mails);
	const struct milter_client_macro macros[] = {
		{SLICE("i"), m->mails != 0 ? slice_of(id) : SLICE_NONE},
		{SLICE("j"), m->config.conf->hostname},
		{SLICE("{daemon_name}"), SLICE("smtpd")},
		{SLICE("{tls_version}"), m->tls_version},
		{SLICE("{cipher}"), m->tls_cipher},
		{SLICE("{auth_type}"), m->user.n != 0 ? SLICE("PLAIN") : SLICE_NONE},
		{SLICE("{auth_authen}"), m->user},
		{SLICE("{mail_addr}"), m->sender.text},
		{SLICE("{rcpt_addr}"), m->rcpt.text},
	};
	bool told = milter_client_tell(
		&m->milter, command, data, macros, sizeof(macros) / sizeof(macros[0]));
	if (told && command == SMFIC_MAIL)
		m->milter_has_mail = true;
}

void
mta_reply(struct mta *m, struct smtp_reply r)
{
	m->owed = SMTP_EV_NONE;
	smtp_server_reply(m->server, &r);
}

/* The step was told, and nothing is against it. */
static void
go_on(struct mta *m)
{
	switch ((int)m->owed) {
	case SMTP_EV_CONNECT:
		mta_reply(m, smtp_reply_text(smtp_reply_of("220 ready"),
				     arena_printf(m->arena, "%.*s ESMTP MTA",
					     SLICE_ARG(m->config.conf->hostname)),
				     m->arena));
		break;
	case SMTP_EV_HELO: mta_reply(m, smtp_reply_of("250 2.0.0 Hello")); break;
	case SMTP_EV_MAIL: mta_reply(m, smtp_reply_of("250 2.1.0 Ok")); break;
	case SMTP_EV_RCPT:
		mta_add_rcpt(m, &m->rcpt, &m->rcpt_params);
		mta_reply(m, smtp_reply_of("250 2.1.5 Ok"));
		break;
	case SMTP_EV_DATA: mta_reply(m, smtp_reply_of("354 Go on")); break;
	case SMTP_EV_BODY_END: mta_text_go_on(m); break;
	default: break;
	}
}

/* After ACCEPT and DISCARD nothing more of a mail is told. */
void
mta_tell_step(struct mta *m, enum smtp_event_type owed, char command, struct slice data)
{
	m->owed = owed;
	bool of_mail = owed != SMTP_EV_CONNECT && owed != SMTP_EV_HELO;
	if (!of_mail || (!m->passes && !m->drops))
		mta_tell(m, command, data);
	if (m->milter.awaits == 0)
		go_on(m);
}

static void
refuse(struct mta *m, struct smtp_reply r)
{
	/* the milter has no mail that could be broken off */
	if (m->owed == SMTP_EV_MAIL || m->part == MTA_TOLD)
		m->milter_has_mail = false;
	mta_reply(m, r);
}

static void
on_said(struct mta *m, const struct milter_client_reply *said)
{
	switch (said->code) {
	case SMFIR_REPLYCODE: refuse(m, said->reply); return;
	case SMFIR_REJECT: refuse(m, smtp_reply_of("550 5.7.1 Command rejected")); return;
	case SMFIR_TEMPFAIL: refuse(m, smtp_reply_of("451 4.7.1 Try again later")); return;
	case SMFIR_ACCEPT: m->passes = true; break;
	case SMFIR_DISCARD: m->drops = true; break;
	case SMFIR_SKIP: m->skips = true; break;
	case SMFIR_CONTINUE: break;
	default: mta_note_edit(m, said); return;
	}
	go_on(m);
}

static void
start_tls(struct mta *m)
{
	m->helo = m->user = SLICE_NONE;
	m->tls_version = SLICE("TLSv1.3");
	m->tls_cipher = SLICE("TLS_AES_256_GCM_SHA384");
	mta_set_offer(m);
	smtp_server_tls_started(m->server);
}

static void
run(struct mta *m)
{
	struct smtp_event ev;
	struct milter_client_reply said;
	while (m->milter.wrong.n == 0 && m->wrong.n == 0) {
		if (milter_client_next(&m->milter, &said))
			on_said(m, &said);
		else if (!m->milter.is_agreed || m->milter.awaits != 0 || m->server == NULL ||
			 !smtp_server_event(m->server, &ev))
			return;
		else
			mta_dispatch(m, &ev);
	}
}

/* --- its driver's side */

struct mta *
mta_new(const struct mta_config *c)
{
	struct mta *m = MEM_NEW(struct mta);
	m->config = *c;
	m->arena = c->arena;
	milter_client_init(&m->milter, &c->habits->offer, c->arena);
	buf_init(&m->text, MTA_TEXT_MOST);
	return m;
}

void
mta_free(struct mta **m)
{
	if (*m == NULL)
		return;
	smtp_server_free(&(*m)->server);
	milter_client_fini(&(*m)->milter);
	buf_fini(&(*m)->text);
	mem_free(*m);
	*m = NULL;
}

void
mta_client_begin(struct mta *m, const struct ip *ip, const char *id, int64_t wall_ms)
{
	const struct conf *conf = m->config.conf;
	const struct conf_listener *l = m->config.listener;
	snprintf(m->id, sizeof(m->id), "%s", id);
	m->ip = *ip;
	m->in_network = ip_in_nets(ip, l->from, l->n_from);
	m->wall_ms = wall_ms;
	m->mails = 0;
	m->closed = false;
	m->helo = m->user = m->tls_version = m->tls_cipher = SLICE_NONE;
	m->offer = (struct smtp_offer){.smtputf8 = true,
		.dsn = true,
		.eightbit = true,
		.size = conf->limits.mail_bytes};
	m->limits = smtp_server_limits_default;
	m->limits.mail_bytes = conf->limits.mail_bytes;
	m->limits.recipients = conf->limits.recipients;
	m->server = smtp_server_new(conf->hostname, &m->limits, &m->offer);
	mta_set_offer(m);
	run(m);
}

bool
mta_client_end(struct mta *m)
{
	bool cut = m->milter.awaits != 0 || !m->milter.is_agreed;
	smtp_server_free(&m->server);
	m->owed = SMTP_EV_NONE;
	if (cut)
		return false;
	mta_mail_over(m);
	bool keeps = m->config.habits->keeps && m->milter.agreed.version >= SMFI_PROT_VERSION;
	mta_tell(m, keeps ? SMFIC_QUIT_NC : SMFIC_QUIT, SLICE_NONE);
	return keeps;
}

void
mta_clock(struct mta *m, int64_t wall_ms)
{
	m->wall_ms = wall_ms;
}

size_t
mta_feed(struct mta *m, struct slice in)
{
	size_t n = smtp_server_feed(m->server, in);
	run(m);
	return n;
}

struct slice
mta_output(const struct mta *m)
{
	return m->server != NULL ? smtp_server_output(m->server) : SLICE_NONE;
}

void
mta_written(struct mta *m, size_t n)
{
	smtp_server_written(m->server, n);
	if (smtp_server_tls_wanted(m->server)) {
		start_tls(m);
		run(m);
	}
}

bool
mta_closes(const struct mta *m)
{
	return m->closed;
}

struct slice
mta_milter_output(const struct mta *m)
{
	return buf_slice(&m->milter.out);
}

void
mta_milter_written(struct mta *m, size_t n)
{
	buf_consume(&m->milter.out, n);
}

void
mta_milter_feed(struct mta *m, struct slice in)
{
	milter_client_feed(&m->milter, in);
	run(m);
}

struct slice
mta_wrong(const struct mta *m)
{
	return m->milter.wrong.n != 0 ? m->milter.wrong : m->wrong;
}
