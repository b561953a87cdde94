# SPDX-License-Identifier: MIT OR GPL-2.0-only
# What bash completes for anyrcu: commands and options, as the tool's own help names them.
_anyrcu()
{
	local word=${COMP_WORDS[COMP_CWORD]} command='' i words

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--) # the program that is run, and its arguments
			COMPREPLY=()
			compopt -o default
			return
			;;
		-* | help) ;;
		*) command=${command:-${COMP_WORDS[i]}} ;;
		esac
	done
	if [ -z "$command" ] && [[ $word != -* ]]; then
		words=$(anyrcu --help 2>/dev/null |
			sed -n '/^Commands:/,/^$/s/^  \([a-z]\+\) .*/\1/p')
	elif [[ $word == -* ]]; then
		words=$(anyrcu ${command:+"$command"} --help 2>/dev/null |
			grep -oE -- '--[a-z][a-z-]*=?' | sort -u)
	elif [ "$command" = scale ]; then
		words='defer flood invoke read synchronize'
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
	[ ${#COMPREPLY[@]} != 0 ] || compopt -o default
}
complete -F _anyrcu anyrcu
