/*
 * What the client of the MTA of the plays says, each step handed on to the milter. TLS, AUTH
 * and who may send are decided here, as no milter has a say in them; see mta.h.
 */
#include <string.h>

#include "base/base64.h"
#include "base/must.h"
#include "mta_priv.h"

static struct slice
in_brackets(struct mta *m, const struct address *a)
{
	return arena_printf(m->arena, "<%.*s>", SLICE_ARG(a->raw));
}

/* What a listener of the gateway would offer; in front of a `listen milter` all, in clear too.
 */
void
mta_set_offer(struct mta *m)
{
	const struct conf_listener *l = m->config.listener;
	bool tls = m->tls_version.n != 0, own = l->kind == LISTEN_MILTER;
	bool auth = own || (tls && l->auth_file.n != 0);
	m->offer.tls = !tls && (own || l->n_certificates != 0);
	m->offer.auth = auth && m->user.n == 0 ? "PLAIN LOGIN SCRAM-SHA-256" : NULL;
	smtp_server_offer(m->server, &m->offer);
}

static void
on_connect(struct mta *m)
{
	char ip[IP_TEXT_BYTES];
	struct buf data;
	buf_init(&data, 256);
	bool six = m->ip.family == 6;
	(void)buf_add(&data, (struct slice){"client.example", sizeof("client.example")});
	(void)buf_add_byte(&data, six ? SMFIA_INET6 : SMFIA_INET);
	(void)buf_add(&data, (struct slice){"\x9c\x40", 2}); /* port 40000 */
	(void)buf_add(&data, ip_text(&m->ip, ip));
	(void)buf_add_byte(&data, '\0');
	mta_tell_step(m, SMTP_EV_CONNECT, SMFIC_CONNECT, buf_slice(&data));
	buf_fini(&data);
}

static void
on_helo(struct mta *m, const struct smtp_event *ev)
{
	m->helo = arena_slice(m->arena, ev->name);
	m->esmtp = ev->esmtp;
	mta_tell_step(m, SMTP_EV_HELO, SMFIC_HELO, (struct slice){m->helo.p, m->helo.n + 1});
}

/* A path and its parameters, each with its NUL. */
static void
tell_path(struct mta *m, enum smtp_event_type owed, char command, struct slice path,
	struct slice params)
{
	struct buf data;
	struct slice one;
	buf_init(&data, 4096);
	(void)buf_add(&data, path);
	(void)buf_add_byte(&data, '\0');
	while (params.n != 0) {
		slice_cut(slice_trim(params), ' ', &one, &params);
		(void)buf_add(&data, one);
		(void)buf_add_byte(&data, '\0');
	}
	mta_tell_step(m, owed, command, buf_slice(&data));
	buf_fini(&data);
}

static const struct smtp_offer all_params = {
	.smtputf8 = true, .dsn = true, .eightbit = true, .size = UINT64_MAX};

static void
on_mail(struct mta *m, const struct smtp_event *ev)
{
	const struct conf_listener *l = m->config.listener;
	if (l->tls == LISTEN_TLS_REQUIRED && m->tls_version.n == 0) {
		mta_reply(m, smtp_reply_of("530 5.7.0 Must issue a STARTTLS command first"));
		return;
	}
	if (l->kind == LISTEN_OUTBOUND && m->user.n == 0 && !m->in_network) {
		mta_reply(m, smtp_reply_of("530 5.7.0 Authentication required"));
		return;
	}
	struct buf params;
	m->mails++;
	m->sender = ev->address;
	m->params = ev->mail;
	buf_init(&params, 4096);
	(void)smtp_params_mail_write(&ev->mail, &all_params, &params);
	tell_path(m, SMTP_EV_MAIL, SMFIC_MAIL, in_brackets(m, &m->sender), buf_slice(&params));
	buf_fini(&params);
}

static void
on_rcpt(struct mta *m, const struct smtp_event *ev)
{
	struct buf params;
	m->rcpt = ev->address;
	m->rcpt_params = ev->rcpt;
	buf_init(&params, 4096);
	smtp_params_rcpt_write(&ev->rcpt, &all_params, &params);
	tell_path(m, SMTP_EV_RCPT, SMFIC_RCPT, in_brackets(m, &m->rcpt), buf_slice(&params));
	buf_fini(&params);
}

void
mta_add_rcpt(struct mta *m, const struct address *a, const struct smtp_rcpt_params *params)
{
	if (m->n_rcpts == m->rcpts_room) {
		size_t room = m->rcpts_room != 0 ? 2 * m->rcpts_room : 8;
		struct relay_rcpt *more = arena_array(m->arena, room, sizeof(*more));
		if (m->n_rcpts != 0)
			memcpy(more, m->rcpts, m->n_rcpts * sizeof(*more));
		m->rcpts = more;
		m->rcpts_room = room;
	}
	m->rcpts[m->n_rcpts++] = (struct relay_rcpt){.address = *a, .params = *params};
}

/* PLAIN alone; each account has its own name and the play's one password. */
static void
on_auth(struct mta *m, const struct smtp_event *ev)
{
	struct slice words, name, password, as;
	if (ev->type == SMTP_EV_AUTH && !ev->has_data) {
		mta_reply(m, (struct smtp_reply){.code = 334});
		return;
	}
	if (slice_eq(ev->data, SLICE("*"))) {
		mta_reply(m, smtp_reply_of("501 5.7.0 Authentication cancelled"));
		return;
	}
	bool ok = base64_decode(ev->data, m->arena, &words);
	slice_cut(ok ? words : SLICE_NONE, '\0', &as, &words);
	slice_cut(words, '\0', &name, &password);
	if (!ok || !slice_eq(password, *m->config.password)) {
		mta_reply(m, smtp_reply_of("535 5.7.8 Authentication credentials invalid"));
		return;
	}
	m->user = arena_slice(m->arena, name);
	mta_reply(m, smtp_reply_of("235 2.7.0 Authentication succeeded"));
	mta_set_offer(m);
}

static void
on_starttls(struct mta *m)
{
	mta_reply(m, m->offer.tls ? smtp_reply_of("220 2.0.0 Ready to start TLS")
				  : smtp_reply_of("454 4.7.0 TLS is not available"));
}

void
mta_mail_over(struct mta *m)
{
	if (m->milter_has_mail)
		mta_tell(m, SMFIC_ABORT, SLICE_NONE);
	m->milter_has_mail = m->passes = m->drops = m->skips = m->gives_up = m->kept = false;
	m->n_rcpts = m->n_edits = 0;
	m->part = MTA_HEADER;
	m->field = m->body_at = 0;
	m->sender = m->rcpt = (struct address){0};
	buf_clear(&m->text);
}

void
mta_dispatch(struct mta *m, const struct smtp_event *ev)
{
	switch (ev->type) {
	case SMTP_EV_CONNECT: on_connect(m); break;
	case SMTP_EV_HELO: on_helo(m, ev); break;
	case SMTP_EV_STARTTLS: on_starttls(m); break;
	case SMTP_EV_AUTH:
	case SMTP_EV_AUTH_DATA: on_auth(m, ev); break;
	case SMTP_EV_MAIL: on_mail(m, ev); break;
	case SMTP_EV_RCPT: on_rcpt(m, ev); break;
	case SMTP_EV_DATA: mta_tell_step(m, SMTP_EV_DATA, SMFIC_DATA, SLICE_NONE); break;
	case SMTP_EV_BODY: must(buf_add(&m->text, ev->data) == 0); break;
	case SMTP_EV_BODY_END:
		m->owed = SMTP_EV_BODY_END;
		mta_text_begin(m);
		break;
	case SMTP_EV_RESET: mta_mail_over(m); break;
	case SMTP_EV_CLOSE: m->closed = true; break;
	case SMTP_EV_NONE:
	case SMTP_EV_XCLIENT: /* not on offer: refused by the machine itself */
	case SMTP_EV_XFORWARD:
	case SMTP_EV_BODY_BAD:
	case SMTP_EV_REFUSED: break;
	}
}
