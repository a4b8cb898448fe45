/*
 * What the spam filter reads of a mail: its fields as they were when it came to our gate, the
 * first bytes as they are, and the text of its parts. spam_view_parts.c walks the body.
 *
 * All memory comes from the caller's arena, at most SPAM_VIEW_BYTES; where it has less room the
 * view is empty and says that it is cut.
 */
#include "filters/spam_view.h"

#include <string.h>

#include "filters/spam_view_priv.h"

/* What filters and mailboxes write into a header: no property of the mail. A name that ends in
 * '*' stands for all that begin so. */
static const char *const marks[] = {
	"arc-*",
	"authentication-results*",
	"delivered-to",
	"envelope-to",
	"received-spf",
	"return-path",
	"status",
	"x-amavis-*",
	"x-antispam*",
	"x-antivirus*",
	"x-authentication-warning",
	"x-barracuda-*",
	"x-bogosity",
	"x-clamav*",
	"x-crm114-*",
	"x-cmae-*",
	"x-dkim-*",
	"x-dspam-*",
	"x-eopattributedmessage",
	"x-eoptenantattributedmessage",
	"x-envelope-to",
	"x-exchange-*",
	"x-folder",
	"x-forefront-*",
	"x-gm-*",
	"x-gmail-*",
	"x-google-dkim-*",
	"x-greylist*",
	"x-incomingheadercount",
	"x-incomingtopheadermarker",
	"x-ironport-*",
	"x-keywords",
	"x-mailscanner*",
	"x-microsoft-antispam*",
	"x-mozilla-*",
	"x-ms-exchange-*",
	"x-ms-office365-*",
	"x-ms-publictraffictype",
	"x-ms-traffictypediagnostic",
	"x-ms-userlastlogontime",
	"x-original-to",
	"x-originalarrivaltime",
	"x-postern*",
	"x-proofpoint-*",
	"x-razor-*",
	"x-received",
	"x-rspam*",
	"x-scanned-by",
	"x-sid-*",
	"x-sieve*",
	"x-spam*",
	"x-status",
	"x-tmase-*",
	"x-uid*",
	"x-virus*",
	"x-vade*",
};

static bool
is_mark(struct slice name)
{
	if (name.n < 4 || strchr("adersxADERSX", name.p[0]) == NULL)
		return false;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		struct slice m = slice_of(marks[i]);
		if (slice_ends(m, SLICE("*"))
				? slice_starts_nocase(name, slice_first(m, m.n - 1))
				: slice_eq_nocase(name, m))
			return true;
	}
	return false;
}

/* Fields that only the author's side writes: what stands below one is the author's. */
static bool
is_authors(struct slice name)
{
	return slice_eq_nocase(name, SLICE("From")) || slice_eq_nocase(name, SLICE("To")) ||
	       slice_eq_nocase(name, SLICE("Date"));
}

/*
 * How many fields were put on by us: down to the last Received of ours. Not those below a From:
 * a spammer would write one there to have all above it passed over.
 */
static size_t
count_own(const struct message *m, struct slice hostname)
{
	size_t own = 0;
	for (size_t i = 0; hostname.n != 0 && i < m->n_fields; i++) {
		struct slice name = slice_trim(m->fields[i].name);
		if (is_authors(name))
			break;
		if (slice_eq_nocase(name, SLICE("Received")) &&
			message_received_by(m->fields[i].value, hostname))
			own = i + 1;
	}
	return own;
}

static void
read_fields(
	struct spam_view *v, const struct message *m, struct slice hostname, struct arena *a)
{
	size_t own = count_own(m, hostname), bytes = 0;
	struct message *left = ARENA_NEW(a, struct message);
	v->own = own != 0;
	v->fields = arena_array(a, m->n_fields - own, sizeof(*v->fields));
	*left = *m;
	left->received = left->own_received = 0;
	for (size_t i = own; i < m->n_fields; i++) {
		const struct message_field *f = &m->fields[i];
		if (is_mark(slice_trim(f->name)))
			continue;
		bytes += f->raw.n;
		if (bytes > SPAM_HEADER_MOST) {
			v->cut = true;
			break;
		}
		left->received += slice_eq_nocase(f->name, SLICE("Received"));
		v->fields[v->n_fields++] = *f;
	}
	left->fields = v->fields;
	left->n_fields = v->n_fields;
	v->message = left;
}

/* Lines of s to `to`, each CRLF an LF. */
static size_t
copy_lines(struct slice s, char *to, size_t room)
{
	size_t n = 0, i = 0;
	while (i < s.n && n < room) {
		const char *at = memchr(s.p + i, '\r', s.n - i);
		size_t run = at != NULL ? (size_t)(at - s.p) - i : s.n - i;
		run = run < room - n ? run : room - n;
		memcpy(to + n, s.p + i, run);
		n += run;
		i += run;
		if (i < s.n && n < room) {
			if (i + 1 == s.n || s.p[i + 1] != '\n')
				to[n++] = '\r';
			i++;
		}
	}
	return n;
}

static void
read_raw(struct spam_view *v, struct slice body, struct arena *a)
{
	char *to = arena_alloc(a, SPAM_RAW_MOST);
	size_t n = 0;
	for (size_t i = 0; i < v->n_fields && n < SPAM_RAW_MOST; i++)
		n += copy_lines(v->fields[i].raw, to + n, SPAM_RAW_MOST - n);
	if (n < SPAM_RAW_MOST)
		to[n++] = '\n';
	n += copy_lines(body, to + n, SPAM_RAW_MOST - n);
	v->raw = (struct slice){to, n};
}

void
spam_view_read(const struct message *m, struct slice body, struct slice hostname,
	struct arena *a, struct spam_view *v_out)
{
	struct spam_view *v = v_out;
	struct spam_reading r = {.v = v, .a = a};
	*v = (struct spam_view){.message = m};
	if (arena_room(a) < SPAM_VIEW_BYTES) {
		v->cut = true;
		return;
	}
	if (body.n > SPAM_BODY_MOST) {
		body = slice_first(body, SPAM_BODY_MOST);
		v->cut = true;
	}
	read_fields(v, m, hostname, a);
	read_raw(v, body, a);
	v->parts = arena_array(a, SPAM_PARTS_MOST, sizeof(*v->parts));
	v->links = arena_array(a, SPAM_LINKS_MOST, sizeof(*v->links));
	/* Text grows at most threefold; twice the most, for one alternative beside another. */
	size_t room = body.n < SPAM_TEXT_MOST / 2 ? 3 * body.n + 64 : 2 * SPAM_TEXT_MOST;
	r.text = (struct spam_sink){
		.p = arena_alloc(a, room),
		.room = room,
		.most = room < SPAM_TEXT_MOST ? room : SPAM_TEXT_MOST,
	};
	spam_read_parts(&r, body);
	v->text_as_is = (struct slice){r.text.p, r.text.n};
	v->text = spam_lower(v->text_as_is, a);
	spam_note_kind(v, a);
}

/* Where the body begins: behind the first empty line; all, where there is none. */
static size_t
body_of(struct slice mail)
{
	size_t at = 0;
	while (at < mail.n && at < MESSAGE_HEADER_MOST) {
		size_t n = slice_find(slice_from(mail, at), '\n');
		if (n == 0 || (n == 1 && mail.p[at] == '\r'))
			return at + n + 1;
		at += n + 1;
	}
	return at < mail.n ? at : mail.n;
}

/* The header with CRLF, whatever it had. */
static struct slice
header_with_crlf(struct slice in, struct arena *a)
{
	size_t lines = 0, n = 0;
	for (size_t i = 0; i < in.n; i++)
		lines += in.p[i] == '\n' && (i == 0 || in.p[i - 1] != '\r');
	if (lines == 0)
		return in;
	char *to = arena_alloc(a, in.n + lines);
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '\n' && (i == 0 || in.p[i - 1] != '\r'))
			to[n++] = '\r';
		to[n++] = in.p[i];
	}
	return (struct slice){to, n};
}

void
spam_view_of_mail(
	struct slice mail, struct slice hostname, struct arena *a, struct spam_view *v_out)
{
	struct message *m = ARENA_NEW(a, struct message);
	if (slice_starts(mail, SLICE("From "))) /* of a mailbox file */
		mail = slice_from(mail, slice_find(mail, '\n') + 1);
	size_t body = body_of(mail);
	message_parse(header_with_crlf(slice_first(mail, body), a), hostname, true, a, m);
	spam_view_read(m, slice_from(mail, body), hostname, a, v_out);
}
