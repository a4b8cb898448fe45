/*
 * Evidence in the names of files. The scanner opens them and knows better what is inside; this
 * is what the name alone says, where rules let it pass.
 */
#include "filters/spam_evidence_priv.h"

enum kind {
	KIND_NONE,
	KIND_PROGRAM,
	KIND_SCRIPT,
	KIND_HTML,
	KIND_DISK,
	KIND_MACRO,
	KIND_ARCHIVE
};

static const struct {
	const char *ending;
	enum kind kind;
} endings[] = {
	{"exe", KIND_PROGRAM},
	{"com", KIND_PROGRAM},
	{"scr", KIND_PROGRAM},
	{"pif", KIND_PROGRAM},
	{"cpl", KIND_PROGRAM},
	{"msi", KIND_PROGRAM},
	{"dll", KIND_PROGRAM},
	{"apk", KIND_PROGRAM},
	{"jar", KIND_PROGRAM},
	{"msix", KIND_PROGRAM},
	{"appx", KIND_PROGRAM},
	{"ocx", KIND_PROGRAM},
	{"xll", KIND_PROGRAM},
	{"js", KIND_SCRIPT},
	{"jse", KIND_SCRIPT},
	{"vbs", KIND_SCRIPT},
	{"vbe", KIND_SCRIPT},
	{"wsf", KIND_SCRIPT},
	{"wsh", KIND_SCRIPT},
	{"hta", KIND_SCRIPT},
	{"bat", KIND_SCRIPT},
	{"cmd", KIND_SCRIPT},
	{"ps1", KIND_SCRIPT},
	{"lnk", KIND_SCRIPT},
	{"url", KIND_SCRIPT},
	{"reg", KIND_SCRIPT},
	{"scf", KIND_SCRIPT},
	{"chm", KIND_SCRIPT},
	{"jnlp", KIND_SCRIPT},
	{"library-ms", KIND_SCRIPT},
	{"html", KIND_HTML},
	{"htm", KIND_HTML},
	{"shtml", KIND_HTML},
	{"xhtml", KIND_HTML},
	{"mht", KIND_HTML},
	{"mhtml", KIND_HTML},
	{"svg", KIND_HTML},
	{"iso", KIND_DISK},
	{"img", KIND_DISK},
	{"vhd", KIND_DISK},
	{"vhdx", KIND_DISK},
	{"udf", KIND_DISK},
	{"one", KIND_DISK},
	{"cab", KIND_DISK},
	{"daa", KIND_DISK},
	{"docm", KIND_MACRO},
	{"dotm", KIND_MACRO},
	{"xlsm", KIND_MACRO},
	{"xlsb", KIND_MACRO},
	{"xlam", KIND_MACRO},
	{"pptm", KIND_MACRO},
	{"ppam", KIND_MACRO},
	{"ace", KIND_ARCHIVE},
	{"arj", KIND_ARCHIVE},
	{"z", KIND_ARCHIVE},
	{"lzh", KIND_ARCHIVE},
	{"r00", KIND_ARCHIVE},
	{"r01", KIND_ARCHIVE},
	{"rar", KIND_ARCHIVE},
	{"7z", KIND_ARCHIVE},
	{"uue", KIND_ARCHIVE},
	{"gz", KIND_NONE},
};

static enum kind
kind_of(struct slice ending)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		if (slice_eq_nocase(ending, slice_of(endings[i].ending)))
			return endings[i].kind;
	return KIND_NONE;
}

static bool
harmless(struct slice ending)
{
	static const char *const such[] = {"pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx",
		"txt", "jpg", "jpeg", "png", "gif", "mp3", "mp4", "wav", "zip", "csv", "rtf",
		"avi"};
	for (size_t i = 0; i < sizeof(such) / sizeof(such[0]); i++)
		if (slice_eq_nocase(ending, slice_of(such[i])))
			return true;
	return false;
}

static void
one(struct spam_gather *g, const struct spam_part *p)
{
	struct slice name = slice_trim(p->name);
	size_t dot = slice_find_last(name, '.');
	enum kind kind = dot < name.n ? kind_of(slice_from(name, dot + 1)) : KIND_NONE;
	switch (kind) {
	case KIND_PROGRAM: spam_find(g, SPAM_FILE_PROGRAM, name); break;
	case KIND_SCRIPT: spam_find(g, SPAM_FILE_SCRIPT, name); break;
	case KIND_HTML: spam_find(g, SPAM_FILE_HTML, name); break;
	case KIND_DISK: spam_find(g, SPAM_FILE_DISK, name); break;
	case KIND_MACRO: spam_find(g, SPAM_FILE_MACRO, name); break;
	case KIND_ARCHIVE: spam_find(g, SPAM_FILE_ARCHIVE, name); break;
	case KIND_NONE: break;
	}
	if (kind == KIND_HTML && g->v->html.forms + g->v->html.scripts > 0)
		spam_find(g, SPAM_FILE_HTML_FORM, name);
	struct slice before = slice_first(name, dot);
	size_t inner = slice_find_last(before, '.');
	bool twice = kind != KIND_NONE && kind != KIND_ARCHIVE && inner < before.n &&
		     harmless(slice_trim(slice_from(before, inner + 1)));
	/* U+202E and its like turn the name round: "gpj.exe" is shown as "exe.jpg" */
	bool turned = slice_find_slice(name, SLICE("\xe2\x80\xae")) < name.n ||
		      slice_find_slice(name, SLICE("\xe2\x80\xad")) < name.n;
	if (twice || turned)
		spam_find(g, SPAM_FILE_DOUBLE, name);
}

void
spam_gather_files(struct spam_gather *g)
{
	for (size_t i = 0; i < g->v->n_parts; i++)
		if (g->v->parts[i].name.n != 0)
			one(g, &g->v->parts[i]);
}
