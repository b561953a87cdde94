/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "lockdep/symbols.h"

#ifdef HAVE_LIBDW
#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>

/* Each file has a space of its own, in which it lies where it says itself. */
static struct file {
	char *path;
	Dwfl_Module *module; /* NULL: it cannot be read */
	struct file *next;
} * files;

static Dwfl_Module *open_module(const char *path)
{
	static char *debuginfo_path;
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
		.section_address = dwfl_offline_section_address,
		.debuginfo_path = &debuginfo_path,
	};
	Dwfl *dwfl = dwfl_begin(&callbacks);
	Dwfl_Module *module;

	if (!dwfl)
		return NULL;
	module = dwfl_report_elf(dwfl, path, path, -1, 0, true);
	if (module && dwfl_report_end(dwfl, NULL, NULL) == 0)
		return module;
	dwfl_end(dwfl);
	return NULL;
}

static Dwfl_Module *module_of(const char *path)
{
	struct file *f;

	for (f = files; f; f = f->next)
		if (!strcmp(f->path, path))
			return f->module;
	f = malloc(sizeof(*f));
	if (!f)
		return NULL;
	*f = (struct file){ .path = strdup(path), .module = open_module(path), .next = files };
	if (f->path)
		files = f;
	return f->module;
}

/*
 * Of a compilation unit without a table of its addresses, as clang makes them: that takes asking
 * each.
 */
static void find_line(Dwfl_Module *module, uint64_t address, struct symbol *s)
{
	Dwfl_Line *line = dwfl_module_getsrc(module, address);
	Dwarf_Die *unit = NULL;
	Dwarf_Addr bias;
	Dwarf_Line *found;

	if (line) {
		s->file = dwfl_lineinfo(line, NULL, &s->line, NULL, NULL, NULL);
		return;
	}
	while ((unit = dwfl_module_nextcu(module, unit, &bias))) {
		if (dwarf_haspc(unit, address - bias) <= 0)
			continue;
		found = dwarf_getsrc_die(unit, address - bias);
		if (found && dwarf_lineno(found, &s->line) == 0)
			s->file = dwarf_linesrc(found, NULL, NULL);
		return;
	}
}

/* The C++ library has the function for it: where that is not installed names stay as they are. */
static const char *demangled(const char *name)
{
	static char *(*demangle)(const char *, char *, size_t *, int *);
	static bool looked;
	char *plain;
	int status;

	if (!name || strncmp(name, "_Z", 2))
		return name;
	if (!looked) {
		void *library = dlopen("libstdc++.so.6", RTLD_LAZY);

		looked = true;
		if (library)
			demangle = (__typeof__(demangle))dlsym(library, "__cxa_demangle");
	}
	plain = demangle ? demangle(name, NULL, NULL, &status) : NULL;
	return plain ?: name;
}

struct symbol symbol_at(const char *path, uint64_t address)
{
	Dwfl_Module *module = module_of(path);
	struct symbol s = { 0 };
	GElf_Off offset;
	GElf_Sym sym;

	if (!module)
		return s;
	s.linked = dwfl_module_addrinfo(module, address, &offset, &sym, NULL, NULL, NULL);
	s.function = demangled(s.linked);
	s.offset = s.function ? offset : 0;
	s.data = s.function && GELF_ST_TYPE(sym.st_info) != STT_FUNC &&
		 GELF_ST_TYPE(sym.st_info) != STT_GNU_IFUNC;
	/* behind the variable lies another that the file does not name */
	if (s.data && sym.st_size && offset >= sym.st_size)
		return (struct symbol){ 0 };
	find_line(module, address, &s);
	return s;
}
#else
struct symbol symbol_at(const char *path, uint64_t address)
{
	(void)path;
	(void)address;
	return (struct symbol){ 0 };
}
#endif
