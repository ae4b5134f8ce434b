@rem npm start says "exec", so that no shell stands between npm and the server. On Windows, which has no exec, npm finds this.
@%*
