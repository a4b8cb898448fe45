/*
 * The end of the data at the MTA of the plays: the mail is told to the milter field by field
 * and in pieces of its body, edited as the milter says, and carried on; see mta.h.
 */
#include <string.h>

#include "base/clock.h"
#include "mta_priv.h"

/* --- what is told */

static struct slice
received(struct mta *m)
{
	char date[CLOCK_DATE_BYTES], ip[IP_TEXT_BYTES];
	struct slice tls = m->tls_version, with = SLICE("SMTP"), rcpt = SLICE_NONE;
	if (m->esmtp)
		with = arena_printf(m->arena, "ESMTP%s%s", tls.n != 0 ? "S" : "",
			m->user.n != 0 ? "A" : "");
	if (tls.n != 0)
		tls = arena_printf(m->arena, "\n\t(using %.*s with cipher %.*s)",
			SLICE_ARG(tls), SLICE_ARG(m->tls_cipher));
	if (m->n_rcpts == 1)
		rcpt = arena_printf(
			m->arena, "\n\tfor <%.*s>", SLICE_ARG(m->rcpts[0].address.text));
	return arena_printf(m->arena,
		" from %.*s ([%.*s])%.*s\n\tby %.*s with %.*s id %s.%u%.*s;\n\t%.*s",
		SLICE_ARG(m->helo), SLICE_ARG(ip_text(&m->ip, ip)), SLICE_ARG(tls),
		SLICE_ARG(m->config.conf->hostname), SLICE_ARG(with), m->id, m->mails,
		SLICE_ARG(rcpt), SLICE_ARG(clock_date(m->wall_ms, date)));
}

void
mta_text_begin(struct mta *m)
{
	m->mail = (struct mta_mail){
		.arena = m->arena, .counts_deleted = m->config.habits->counts_deleted};
	mta_mail_read(&m->mail, buf_slice(&m->text));
	mta_mail_stamp(&m->mail, SLICE("Received"), received(m));
	mta_text_go_on(m);
}

static void
give_up_at(struct mta *m, struct slice part)
{
	struct mta_habits *h = m->config.habits;
	if (!slice_eq(h->gives_up_at, part))
		return;
	h->gives_up_at = SLICE_NONE;
	m->gives_up = true;
}

static void
tell_field(struct mta *m)
{
	if (m->field == m->mail.n) {
		m->part = MTA_HEADER_END;
		return;
	}
	const struct mta_field *f = &m->mail.fields[m->field++];
	if (f->own)
		return;
	struct slice value = mta_mail_value(&m->mail, f);
	if (!milter_client_has_space(&m->milter) && slice_starts(value, SLICE(" ")))
		value = slice_from(value, 1);
	mta_tell(m, SMFIC_HEADER,
		arena_printf(m->arena, "%.*s%c%.*s%c", SLICE_ARG(f->name), '\0',
			SLICE_ARG(value), '\0'));
	give_up_at(m, SLICE("header"));
}

static void
tell_body(struct mta *m)
{
	struct slice left = slice_from(m->mail.body, m->body_at + 2); /* the blank line */
	struct slice piece = slice_first(left, m->config.habits->body_bytes);
	if (piece.n == 0 || m->skips) {
		m->part = MTA_END;
		return;
	}
	m->body_at += piece.n;
	mta_tell(m, SMFIC_BODY, piece);
	give_up_at(m, SLICE("body"));
}

static void
tell_part(struct mta *m)
{
	switch (m->part) {
	case MTA_HEADER: tell_field(m); break;
	case MTA_HEADER_END:
		m->part = MTA_BODY;
		mta_tell(m, SMFIC_EOH, SLICE_NONE);
		give_up_at(m, SLICE("header-end"));
		break;
	case MTA_BODY: tell_body(m); break;
	case MTA_END:
		m->part = MTA_TOLD;
		mta_tell(m, SMFIC_BODYEOB, SLICE_NONE);
		break;
	case MTA_TOLD: break;
	}
}

/* --- what becomes of it */

void
mta_note_edit(struct mta *m, const struct milter_client_reply *edit)
{
	if (m->n_edits == m->edits_room) {
		size_t room = m->edits_room != 0 ? 2 * m->edits_room : 32;
		struct milter_client_reply *more = arena_array(m->arena, room, sizeof(*more));
		if (m->n_edits != 0)
			memcpy(more, m->edits, m->n_edits * sizeof(*more));
		m->edits = more;
		m->edits_room = room;
	}
	m->edits[m->n_edits++] = *edit;
}

static bool
path_of(struct mta *m, struct slice value, struct address *a_out)
{
	struct slice rest;
	return address_parse_path(value, false, true, m->arena, a_out, &rest) == ADDRESS_OK &&
	       rest.n == 0;
}

static bool
remove_rcpt(struct mta *m, struct slice value)
{
	struct address a;
	if (!path_of(m, value, &a))
		return false;
	for (size_t i = 0; i < m->n_rcpts; i++) {
		if (!slice_eq(m->rcpts[i].address.raw, a.raw))
			continue;
		m->n_rcpts--;
		memmove(&m->rcpts[i], &m->rcpts[i + 1], (m->n_rcpts - i) * sizeof(*m->rcpts));
		return true;
	}
	return false;
}

/*
 * Into its hold queue, with a reason that has to be one line to be read there; at once a person
 * looks at it and lets it go, so that it is seen with all its edits. The reason stands on top.
 */
static bool
keep(struct mta *m, struct slice reason)
{
	for (size_t i = 0; i < reason.n; i++)
		if (reason.p[i] < ' ' || reason.p[i] > '~')
			return false;
	if (reason.n == 0 || m->kept)
		return false;
	m->kept = true;
	mta_mail_stamp(&m->mail, SLICE("X-MTA-Kept"),
		arena_printf(m->arena, " %.*s", SLICE_ARG(reason)));
	return true;
}

static bool
edit(struct mta *m, const struct milter_client_reply *e)
{
	bool spaced = milter_client_has_space(&m->milter);
	struct address a;
	switch (e->code) {
	case SMFIR_INSHEADER:
		mta_mail_insert(&m->mail, e->index, e->name,
			spaced ? e->value
			       : arena_printf(m->arena, " %.*s", SLICE_ARG(e->value)));
		return true;
	case SMFIR_CHGHEADER: /* into nothing: Postern changes no value */
		return e->value.n == 0 && mta_mail_delete(&m->mail, e->index, e->name);
	case SMFIR_DELRCPT: return remove_rcpt(m, e->value);
	case SMFIR_ADDRCPT:
		if (!path_of(m, e->value, &a))
			return false;
		mta_add_rcpt(m, &a, &(struct smtp_rcpt_params){0});
		return true;
	case SMFIR_QUARANTINE: return keep(m, e->value);
	default: return false;
	}
}

static bool
edit_all(struct mta *m)
{
	for (size_t i = 0; i < m->n_edits; i++) {
		const struct milter_client_reply *e = &m->edits[i];
		if (edit(m, e))
			continue;
		m->wrong = arena_printf(m->arena, "the edit '%c' %u \"%.*s\" \"%.*s\" is none",
			e->code, (unsigned)e->index, SLICE_ARG(e->name), SLICE_ARG(e->value));
		return false;
	}
	return true;
}

/* What its own users leave out (RFC 6409 8), behind the milter, as Sendmail does. */
static void
complete(struct mta *m)
{
	const struct conf_listener *l = m->config.listener;
	char date[CLOCK_DATE_BYTES];
	bool is_own = m->user.n != 0 || m->in_network ||
		      ip_in_nets(&m->ip, l->outbound_from, l->n_outbound_from);
	if (!is_own)
		return;
	mta_mail_complete(&m->mail, SLICE("Date"),
		arena_printf(m->arena, " %.*s", SLICE_ARG(clock_date(m->wall_ms, date))));
	mta_mail_complete(&m->mail, SLICE("Message-ID"),
		arena_printf(m->arena, " <%s.%u.mta@%.*s>", m->id, m->mails,
			SLICE_ARG(m->config.conf->hostname)));
}

/* Taken with 250, and carried on from the queue: what the hop says nobody hears. */
static void
carry(struct mta *m)
{
	struct gate_transfer t = {.mail = {.sender = m->sender,
					  .params = m->params,
					  .rcpts = m->rcpts,
					  .n_rcpts = m->n_rcpts,
					  .arena = m->arena}};
	relay_body_init(&t.body, m->arena);
	(void)relay_body_add(&t.body, mta_mail_text(&m->mail));
	t.mail.body = &t.body;
	if (m->n_rcpts != 0)
		hop_carry(m->config.hop, m->config.conf->hostname, &t);
}

static void
take(struct mta *m)
{
	m->milter_has_mail = false;
	if (!m->passes && !m->drops && !edit_all(m))
		return;
	complete(m);
	if (!m->drops)
		carry(m);
	mta_reply(m, smtp_reply_text(smtp_reply_of("250 2.0.0 Ok"),
			     arena_printf(m->arena, "Ok: queued as %s.%u", m->id, m->mails),
			     m->arena));
}

void
mta_text_go_on(struct mta *m)
{
	while (m->milter.awaits == 0 && m->owed == SMTP_EV_BODY_END && m->wrong.n == 0) {
		if (m->gives_up)
			mta_reply(m, smtp_reply_of("451 4.3.0 Queue file write error"));
		else if (m->part == MTA_TOLD || m->passes || m->drops)
			take(m);
		else
			tell_part(m);
	}
}
