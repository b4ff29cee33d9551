tsscreateprimary -hi o -ecc nistp256
tsscontextsave -ha 80000000 -of object.ctx
tssflushcontext -ha 80000000
tsscontextload -if object.ctx
tssreadpublic -ho 80000000
tssevictcontrol -hi o -ho 80000000 -hp 81000001
tssreadpublic -ho 81000001
tssstartauthsession -se h
tsscontextsave -ha 02000000 -of session.ctx
tsscontextload -if session.ctx
tssflushcontext -ha 02000000
# A session's context is good once.
refused TPM_RC_HANDLE tsscontextload -if session.ctx
