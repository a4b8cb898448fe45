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

/*
 * What filters and mailboxes write into a header: no property of the mail. In order; a name
 * that ends in '*' stands for all that begin so, and none begins with another of them.
 */
static const char *const marks[] = {
	"arc-*",
	"authentication-results*",
	"delivered-to",
	"dkim-filter",
	"envelope-to",
	"old-x-envelope*",
	"old-x-spam*",
	"received-spf",
	"return-path",
	"status",
	"x-account-key",
	"x-amavis*",
	"x-amp-*",
	"x-antispam*",
	"x-antivirus*",
	"x-apparently-to",
	"x-assp-*",
	"x-atlas*",
	"x-barracuda*",
	"x-bogosity",
	"x-brightmail*",
	"x-clamav*",
	"x-cloudmark*",
	"x-cmae-*",
	"x-coremail-antispam",
	"x-crm114*",
	"x-crosspremises*",
	"x-ct-*",
	"x-ctch*",
	"x-dkim*",
	"x-dmarc*",
	"x-dnsrbl*",
	"x-dr.web*",
	"x-drweb*",
	"x-dspam*",
	"x-envelope-to",
	"x-eopattributedmessage",
	"x-eoptenantattributedmessage",
	"x-evolution*",
	"x-exim-dspam*",
	"x-extloop1",
	"x-feas-*",
	"x-folder",
	"x-forefront*",
	"x-fortimail*",
	"x-fuglu*",
	"x-gm-phishy",
	"x-gm-spam*",
	"x-gmail-fetch-info",
	"x-gmail-labels",
	"x-gmx-anti*",
	"x-greylist*",
	"x-halon*",
	"x-ibm-av-*",
	"x-ibm-spam*",
	"x-imap",
	"x-imapbase",
	"x-incomingheadercount",
	"x-incomingtopheadermarker",
	"x-ironport*",
	"x-junkmail*",
	"x-kaspersky*",
	"x-keywords",
	"x-kse-*",
	"x-label",
	"x-mailcleaner*",
	"x-mailscanner*",
	"x-mdav*",
	"x-message-delivery",
	"x-message-info",
	"x-microsoft-antispam*",
	"x-mimecast*",
	"x-mozilla*",
	"x-ms-exchange-*",
	"x-ms-office365*",
	"x-ms-publictraffictype",
	"x-ms-traffictypediagnostic",
	"x-ms-userlastlogontime",
	"x-original-authentication-results",
	"x-original-to",
	"x-pm-spam*",
	"x-pmx-*",
	"x-policyd*",
	"x-postern*",
	"x-postgrey*",
	"x-proofpoint*",
	"x-pstn-*",
	"x-quarantine*",
	"x-razor*",
	"x-received-spf",
	"x-removed-original-auth",
	"x-return-path",
	"x-rspam*",
	"x-sa-*",
	"x-scanned-by",
	"x-sid-*",
	"x-sieve*",
	"x-sonic-spam*",
	"x-sophos*",
	"x-spam*",
	"x-spf*",
	"x-status",
	"x-tm-as-*",
	"x-tmase-*",
	"x-ui-filterresults",
	"x-ui-out-filterresults",
	"x-uid*",
	"x-vade*",
	"x-virus*",
	"x-web-spam",
	"x-yahoofiltered*",
	"x-ymail*",
};

/* Below 0, 0, above 0: the name stands before the mark, is meant by it, stands behind it. */
static int
compare_mark(struct slice name, const char *mark)
{
	size_t i = 0;
	for (; mark[i] != '\0' && mark[i] != '*' && i < name.n; i++) {
		int c = ascii_lower(name.p[i]) - mark[i];
		if (c != 0)
			return c;
	}
	if (mark[i] == '*')
		return 0;
	return i < name.n ? 1 : mark[i] == '\0' ? 0 : -1;
}

static bool
is_mark(struct slice name)
{
	size_t from = 0, to = sizeof(marks) / sizeof(marks[0]);
	while (from < to) {
		size_t mid = (from + to) / 2;
		int c = compare_mark(name, marks[mid]);
		if (c == 0)
			return true;
		if (c < 0)
			to = mid;
		else
			from = mid + 1;
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
	while (n > 0 && to[n - 1] == '\n') /* mailbox files add one */
		n--;
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
