// The first start of a store makes its folder, for which the engine needs five seconds. All empty stores are alike, so
// the first of a machine is kept beside the engine, and each later one is a copy of it.
//
// A folder is copied under another name and renamed when it is whole, so that whoever is killed leaves no half of one.
import fs from 'node:fs'
import path from 'node:path'
import { reason } from './log.mjs'

/** @typedef {import('./log.mjs').Log} Log */

/**
 * Where it is kept: the folder is that of one version of the engine.
 * @param {string} modules
 */
const kept = (modules) => path.join(path.dirname(modules), 'empty-store')

/**
 * Whether a folder holds a store.
 * @param {string} folder
 */
export const holdsStore = (folder) => fs.existsSync(path.join(folder, 'PG_VERSION'))

/**
 * @param {string} from
 * @param {string} to where nothing is, or an empty folder
 * @param {string} unfinished its name until it is whole
 */
function copy(from, to, unfinished) {
  fs.rmSync(unfinished, { recursive: true, force: true })
  try {
    fs.cpSync(from, unfinished, { recursive: true, verbatimSymlinks: true })
    // If the machine stops, the rename must not outlive what was copied.
    for (const entry of fs.readdirSync(unfinished, { recursive: true })) {
      const file = fs.openSync(path.join(unfinished, String(entry)), 'r')
      fs.fsyncSync(file)
      fs.closeSync(file)
    }
    fs.renameSync(unfinished, to)
  } catch (error) {
    fs.rmSync(unfinished, { recursive: true, force: true })
    throw error
  }
}

/**
 * Makes an empty store of the one that is kept.
 * @param {string} modules
 * @param {string} pgdata
 * @param {Log} log
 * @returns {boolean} false if none is kept, and then the engine has to make it
 */
export function copyEmpty(modules, pgdata, log) {
  if (!holdsStore(kept(modules))) return false
  try {
    copy(kept(modules), pgdata, `${pgdata}.new`) // we hold the lock of the folder it is in
    return true
  } catch (error) {
    log.debug(`the empty store is not copied: ${reason(error)}`)
    return false
  }
}

/**
 * Keeps a store that nobody has written to, and all of which is on disk.
 * @param {string} modules
 * @param {string} pgdata
 * @param {Log} log
 */
export function keepEmpty(modules, pgdata, log) {
  if (holdsStore(kept(modules))) return
  try {
    copy(pgdata, kept(modules), `${kept(modules)}.${process.pid}`)
  } catch (error) {
    // Another server has just kept one, or the folder is not ours to write to.
    log.debug(`the empty store is not kept: ${reason(error)}`)
  }
}
