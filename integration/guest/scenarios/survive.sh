# What outlives a reset of the machine, and the death of the TPM's process. Three boots; which one it is says the NV
# index itself, so that a TPM that forgets it is noticed by the host: it counts the boots.
nv=0x1500020
key=0x81000010

# The NV index holds the boot's number and the name of the persistent key, in hexadecimal.
kept=$(tpm2_nvread -C o $nv 2>errors)
name() { tpm2_readpublic -c $key 2>errors | sed -n 's/^name: *//p'; }
check_name() {
    [ -n "$(name)" ] || failed "no key at $key: $(reason)"
    [ "$(name)" = "${kept#? }" ] || failed "another key at $key: $(name)"
}
remember() { echo "$1 $(name)" >content && run tpm2_nvwrite -C o -i content $nv; }

case $kept in
"")
    step "an NV index is written, a key is made persistent"
    run tpm2_createprimary -C o -G ecc -c primary.ctx
    run tpm2_evictcontrol -C o -c primary.ctx $key
    run tpm2_nvdefine -C o -s 71 -a "ownerread|ownerwrite" $nv
    remember 2
    run tpm2_pcrextend "23:sha256=$(printf x | sha256sum | cut -d ' ' -f 1)"
    case $(pcr 23) in *[!0]*) ;; *) failed "PCR 23 is still zero" ;; esac
    ok "$nv, $key"
    echo "@@reboot"
    reboot -f
    sleep 60
    ;;
"2 "*)
    step "after a reset of the machine the PCRs are new"
    case $(pcr 23) in *[!0]* | "") failed "PCR 23 is $(pcr 23)" ;; esac
    check_measured
    ok "measured again; PCR 23 is zero again"
    step "and the NV index and the key are the same"
    check_name
    ok "$(name)"
    step "the NV index is written again, and the TPM's process is killed"
    remember 3
    ok "SIGKILL"
    echo "@@kill"
    sleep 60
    ;;
"3 "*)
    step "a new process on the same state directory has the last write and the key"
    check_name
    ok "$(name)"
    ;;
*) failed "$nv holds: $kept" ;;
esac
