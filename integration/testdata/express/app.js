// An application as its authors write it: Express with express-session, its sessions in
// Postgres by connect-pg-simple, users by passport-local. It knows nothing of walrelay.
//
//	DATABASE_URL   its database, with a table app_users
//	SESSION_SECRET one or several, separated by commas; the first signs
//	PORT           0 takes any
//
// When it listens it says "listening on <port>".
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const express = require('express')
const session = require('express-session')
const PgStore = require('connect-pg-simple')(session)
const passport = require('passport')
const { Strategy } = require('passport-local')
const { Pool } = require('pg')

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 4 })
pool.on('error', () => {}) // an idle connection was lost: the next query takes another

async function one (sql, ...params) {
  const { rows } = await pool.query(sql, params)
  return rows[0] ?? false
}

passport.use(new Strategy((username, password, done) => {
  one("select id, name from app_users where name = $1 and password = encode(sha256(convert_to($2, 'UTF8')), 'hex')", username, password)
    .then(user => done(null, user), done)
}))
passport.serializeUser((user, done) => done(null, user.id))
passport.deserializeUser((id, done) => {
  one('select id, name from app_users where id = $1', id).then(user => done(null, user), done)
})

const app = express()
app.get('/page', (req, res) => res.type('html').send(fs.readFileSync(path.join(__dirname, 'page.html'), 'utf8')))
app.use(express.urlencoded({ extended: false }))
app.use(session({
  store: new PgStore({ pool, createTableIfMissing: true, pruneSessionInterval: false }),
  secret: process.env.SESSION_SECRET.split(','),
  resave: false,
  saveUninitialized: false,
  cookie: { maxAge: 30 * 24 * 3600 * 1000, sameSite: 'lax' }
}))
app.use(passport.session())

// Every request touches the session: expire moves on.
app.get('/me', (req, res) => res.json({ user: req.user?.name ?? null, visits: req.session.visits ?? 0 }))
// This one also changes it, for visitors who are not signed in too.
app.post('/visit', (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1
  res.json({ visits: req.session.visits })
})
// Passport makes a new session.
app.post('/login', passport.authenticate('local'), (req, res) => res.json({ user: req.user.name }))
// The application's own way, which keeps the session that there is.
app.post('/login-in-place', (req, res, next) => {
  passport.authenticate('local', (err, user) => {
    if (err || !user) return err ? next(err) : res.sendStatus(401)
    req.session.passport = { user: user.id }
    res.json({ user: user.name })
  })(req, res, next)
})
// Passport's logout: UPDATE without user, DELETE, INSERT of a new one.
app.post('/logout', (req, res, next) => req.logout(err => err ? next(err) : res.json({ user: null })))
// Without passport: DELETE.
app.post('/destroy', (req, res, next) => req.session.destroy(err => err ? next(err) : res.json({ user: null })))

const server = app.listen(Number(process.env.PORT ?? 0), '127.0.0.1', err => {
  if (err) throw err
  console.log(`listening on ${server.address().port}`)
})
